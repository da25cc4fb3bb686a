# A task of each role, and one that migrates. All are the one image. A container that ends before the other begins
# writes maskline.yaml and the keyring, since Fargate can mount neither.

locals {
  config = coalesce(var.config, file("${path.module}/maskline.yaml"))

  # Environment variable → secret. KEYRING is for who writes the files; maskline itself reads the others.
  secrets_of = {
    ingest    = { DATABASE_URL = "database-url-ingest", REDIS_URL = "redis-url", KEYRING = "keyring" }
    transform = { DATABASE_URL = "database-url-transform", REDIS_URL = "redis-url", KEYRING = "keyring" }
    load      = { DATABASE_URL = "database-url-load", REDIS_URL = "redis-url", KEYRING = "keyring" }
    migrate   = { DATABASE_URL = "database-url-migrate", REDIS_URL = "redis-url" }
    admin = {
      DATABASE_URL            = "database-url-admin"
      REDIS_URL               = "redis-url"
      MASKLINE_ADMIN_USER     = "admin-user"
      MASKLINE_ADMIN_PASSWORD = "admin-password"
    }
  }

  commands = {
    ingest    = ["run", "ingest"]
    transform = ["run", "transform"]
    load      = ["run", "load"]
    admin     = ["run", "admin"]
    migrate   = ["migrate"]
  }

  sizes = merge(var.tasks, { migrate = { cpu = 256, memory = 512, min = 0, max = 0 } })

  environment = {
    MASKLINE_CONFIG  = "/etc/maskline/maskline.yaml"
    MASKLINE_KEYRING = "/etc/maskline/keyring.json"
    KEYRING_KEY_ARN  = aws_kms_key.keyring.arn
    SQS_QUEUE_URL    = aws_sqs_queue.events.id
    AWS_REGION       = data.aws_region.current.region
  }

  # The others serve their probes on loopback, where the health check asks.
  environments = {
    for role, command in local.commands :
    role => merge(local.environment, role == "admin" ? { HOST = "0.0.0.0" } : {})
  }

  write_config = "printf '%s' \"$CONFIG\" >/etc/maskline/maskline.yaml"
  write_both   = "${local.write_config} && printf '%s' \"$KEYRING\" >/etc/maskline/keyring.json"

  hardened = {
    image                  = var.image
    readonlyRootFilesystem = true
    linuxParameters = {
      initProcessEnabled = true
      capabilities       = { drop = ["ALL"] }
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.commands

  name              = "/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_task_definition" "this" {
  for_each = local.commands

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = local.sizes[each.key].cpu
  memory                   = local.sizes[each.key].memory
  execution_role_arn       = aws_iam_role.execution[each.key].arn
  task_role_arn            = aws_iam_role.task[each.key].arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  volume {
    name = "files"
  }

  container_definitions = jsonencode([
    merge(local.hardened, {
      name      = "files"
      essential = false
      # An empty volume is root's; what is written into it, everybody in this task may read, and nobody else.
      user        = "0"
      entryPoint  = ["sh", "-euc"]
      command     = [contains(keys(local.secrets_of[each.key]), "KEYRING") ? local.write_both : local.write_config]
      environment = [{ name = "CONFIG", value = local.config }]
      secrets = [
        for name, secret in local.secrets_of[each.key] :
        { name = name, valueFrom = aws_secretsmanager_secret.this[secret].arn } if name == "KEYRING"
      ]
      mountPoints      = [{ sourceVolume = "files", containerPath = "/etc/maskline", readOnly = false }]
      logConfiguration = local.logs[each.key]
    }),
    merge(local.hardened, {
      name      = "maskline"
      essential = true
      user      = "1000:1000"
      command   = each.value
      dependsOn = [{ containerName = "files", condition = "SUCCESS" }]
      environment = [
        for name, value in local.environments[each.key] : { name = name, value = value }
      ]
      secrets = [
        for name, secret in local.secrets_of[each.key] :
        { name = name, valueFrom = aws_secretsmanager_secret.this[secret].arn } if name != "KEYRING"
      ]
      mountPoints  = [{ sourceVolume = "files", containerPath = "/etc/maskline", readOnly = true }]
      portMappings = each.key == "admin" ? [{ containerPort = 9090, protocol = "tcp" }] : []
      # SIGTERM stops softly within 25 s: what is held is finished, or given back to SQS at once.
      stopTimeout = 35
      # ECS does not look at the image's own. A start may wait 60 s for what it needs.
      healthCheck = {
        command     = ["CMD", "node", "deploy/healthcheck.mjs"]
        interval    = 10
        timeout     = 5
        retries     = 3
        startPeriod = 90
      }
      logConfiguration = local.logs[each.key]
    }),
  ])
}

locals {
  logs = {
    for role, command in local.commands : role => {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this[role].name
        awslogs-region        = data.aws_region.current.region
        awslogs-stream-prefix = role
        # A process never waits for CloudWatch.
        mode            = "non-blocking"
        max-buffer-size = "25m"
      }
    }
  }
}
