# Each role has two IAM roles: of its tasks, with what maskline asks of AWS; and of ECS itself, which brings the tasks
# their secrets and takes their logs. No role's tasks get the secrets of another.

locals {
  # Actions and statements are those of ../iam; what they are for is this deployment's.
  policies = {
    for name in ["admin", "ingest", "keyring"] :
    name => jsondecode(file("${path.module}/../iam/${name}.json")).Statement
  }

  resources = {
    DecryptMessages  = aws_kms_key.queue.arn
    OpenKeyring      = aws_kms_key.keyring.arn
    ReceiveAndSettle = aws_sqs_queue.events.arn
    SeeDepth         = aws_sqs_queue.events.arn
  }

  conditions = {
    DecryptMessages = {
      Condition = { StringEquals = { "kms:ViaService" = "sqs.${data.aws_region.current.region}.amazonaws.com" } }
    }
  }

  role_policies = {
    ingest    = ["ingest", "keyring"]
    transform = ["keyring"]
    load      = ["keyring"]
    admin     = ["admin"]
    migrate   = []
  }

  statements = {
    for role, names in local.role_policies : role => flatten([
      for name in names : [
        for statement in local.policies[name] : merge(
          statement,
          { Resource = local.resources[statement.Sid] },
          try(local.conditions[statement.Sid], {}),
        )
      ]
    ])
  }

  ecs_tasks_may_assume = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

resource "aws_iam_role" "task" {
  for_each = local.role_policies

  name               = "${var.name}-${each.key}"
  assume_role_policy = local.ecs_tasks_may_assume
}

resource "aws_iam_role_policy" "task" {
  for_each = { for role, names in local.role_policies : role => names if length(names) > 0 }

  name   = "maskline"
  role   = aws_iam_role.task[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.statements[each.key] })
}

resource "aws_iam_role" "execution" {
  for_each = local.role_policies

  name               = "${var.name}-${each.key}-execution"
  assume_role_policy = local.ecs_tasks_may_assume
}

resource "aws_iam_role_policy" "execution" {
  for_each = local.role_policies

  name = "start"
  role = aws_iam_role.execution[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "BringSecrets"
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue"]
          Resource = [for secret in values(local.secrets_of[each.key]) : aws_secretsmanager_secret.this[secret].arn]
        },
        {
          Sid      = "TakeLogs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["${aws_cloudwatch_log_group.this[each.key].arn}:*"]
        },
      ],
      [
        for repository in var.ecr_repository_arn[*] : {
          Sid      = "PullImage"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = [repository]
        }
      ],
      [
        for repository in var.ecr_repository_arn[*] : {
          Sid      = "LogInToRegistry"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        }
      ],
    )
  })
}
