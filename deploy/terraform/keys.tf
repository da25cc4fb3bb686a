# Two keys for two matters: who may read events as they come, and who may turn masked values back.

locals {
  account_root = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"

  # The account's own policies say who else may do what.
  key_owner = {
    Sid       = "Account"
    Effect    = "Allow"
    Principal = { AWS = local.account_root }
    Action    = "kms:*"
    Resource  = "*"
  }
}

resource "aws_kms_key" "queue" {
  description         = "${var.name}: messages in SQS"
  enable_key_rotation = true

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([local.key_owner], [
      for role in sort(tolist(var.producer_role_arns)) : {
        Sid       = "Producer${md5(role)}"
        Effect    = "Allow"
        Principal = { AWS = role }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "kms:ViaService" = "sqs.${data.aws_region.current.region}.amazonaws.com" } }
      }
    ])
  })
}

resource "aws_kms_alias" "queue" {
  name          = "alias/${var.name}-queue"
  target_key_id = aws_kms_key.queue.key_id
}

# It wraps the key-encryption key of the keyring. Without it no token can be turned back, and nothing masked.
resource "aws_kms_key" "keyring" {
  description             = "${var.name}: the keyring that values are masked with"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [local.key_owner]
  })

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "keyring" {
  name          = "alias/${var.name}-keyring"
  target_key_id = aws_kms_key.keyring.key_id
}
