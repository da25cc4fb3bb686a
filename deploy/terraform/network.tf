# One group for all tasks: they reach Postgres, Redis and, over TLS, AWS, and are reached on the admin pages only.

resource "aws_security_group" "tasks" {
  name        = "${var.name}-tasks"
  description = "maskline: its tasks"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "tls" {
  security_group_id = aws_security_group.tasks.id
  description       = "SQS, KMS, Secrets Manager, CloudWatch Logs and the registry"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "servers" {
  for_each = local.servers

  security_group_id            = aws_security_group.tasks.id
  description                  = each.key
  referenced_security_group_id = each.value.group
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "servers" {
  for_each = local.servers

  security_group_id            = each.value.group
  description                  = "maskline"
  referenced_security_group_id = aws_security_group.tasks.id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

locals {
  servers = {
    Postgres = { group = var.database_security_group_id, port = 5432 }
    Redis    = { group = var.redis_security_group_id, port = 6379 }
  }
}

resource "aws_security_group" "admin" {
  name        = "${var.name}-admin"
  description = "maskline: its admin pages"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "admin" {
  for_each = var.admin_security_group_ids

  security_group_id            = aws_security_group.admin.id
  description                  = "admin pages"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 9090
  to_port                      = 9090
}
