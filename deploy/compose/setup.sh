#!/bin/sh
# Makes the passwords of docker-compose.yml, once; what is there stays. Each goes to a volume of its own, which only
# the service that needs it mounts. It runs as root with the right to give files away, and no other: what it has given
# away it can't read again.
set -eu
umask 077
: "${SECRETS:?the directory of the volumes}" "${POSTGRES_UID:?}" "${MASKLINE_UID:?}"

password() {
  od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n'
}

# keep FILE UID: what comes on stdin, for that user alone; a file is there as a whole or not at all.
keep() {
  cat >"$1.new"
  chmod 0400 "$1.new"
  chown "$2" "$1.new"
  mv "$1.new" "$1"
}

if [ ! -s "$SECRETS/superuser/password" ]; then
  secret=$(password)
  echo "*:*:*:postgres:$secret" | keep "$SECRETS/superuser/pgpass" "$POSTGRES_UID"
  printf '%s' "$secret" | keep "$SECRETS/superuser/password" "$POSTGRES_UID"
fi

# The statement that sets a password goes where the roles are made; the password itself, to who logs in with it.
for role in owner ingest transform loader operator all; do
  [ ! -s "$SECRETS/$role/database_password" ] || continue
  secret=$(password)
  echo "alter role maskline_$role login password '$secret';" | keep "$SECRETS/superuser/$role.sql" "$POSTGRES_UID"
  printf '%s' "$secret" | keep "$SECRETS/$role/database_password" "$MASKLINE_UID"
done
if [ ! -s "$SECRETS/analyst/pgpass" ]; then
  secret=$(password)
  echo "alter role maskline_analyst login password '$secret';" | keep "$SECRETS/superuser/analyst.sql" "$POSTGRES_UID"
  echo "*:*:*:maskline_analyst:$secret" | keep "$SECRETS/analyst/pgpass" "$POSTGRES_UID"
fi

if [ ! -s "$SECRETS/operator/admin_password" ]; then
  password | keep "$SECRETS/operator/admin_password" "$MASKLINE_UID"
fi

# Made by its first user: `maskline keys init` writes there.
chown "$MASKLINE_UID" "$SECRETS/keys"
