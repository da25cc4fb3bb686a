# Without values: these are put in by hand (README.md), so that no state file holds them.

locals {
  secrets = toset([
    "admin-password",
    "admin-user",
    "database-url-admin",
    "database-url-ingest",
    "database-url-load",
    "database-url-migrate",
    "database-url-transform",
    "keyring",
    "redis-url",
  ])
}

resource "aws_secretsmanager_secret" "this" {
  for_each = local.secrets

  name                    = "${var.name}/${each.key}"
  recovery_window_in_days = 30
}
