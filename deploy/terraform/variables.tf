variable "name" {
  description = "Begins the name of everything that is made."
  type        = string
  default     = "maskline"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.name))
    error_message = "A name is 2 to 21 lower-case letters, digits and hyphens, the first a letter."
  }
}

variable "image" {
  description = "The image of maskline, by tag or, better, by digest."
  type        = string
}

variable "ecr_repository_arn" {
  description = "The ECR repository that the image is pulled from; null: another registry, which asks for no credentials."
  type        = string
  default     = null
}

variable "cpu_architecture" {
  description = "What the image was built for: X86_64 or ARM64."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "Fargate knows X86_64 and ARM64."
  }
}

variable "config" {
  description = "The text of maskline.yaml; null: the maskline.yaml of this module. It gets DATABASE_URL, REDIS_URL, SQS_QUEUE_URL and KEYRING_KEY_ARN."
  type        = string
  default     = null

  validation {
    # A task definition has at most 64 KiB.
    condition     = var.config == null || length(coalesce(var.config, "-")) < 40000
    error_message = "A maskline.yaml of 40,000 characters or more has no room in a task definition: build it into the image."
  }
}

variable "vpc_id" {
  description = "Where the tasks are."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the tasks, with a way to SQS, KMS, Secrets Manager, CloudWatch Logs and the registry: NAT or VPC endpoints."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "At least one subnet is needed."
  }
}

variable "database_security_group_id" {
  description = "The security group of Postgres; it is opened to the tasks."
  type        = string
}

variable "redis_security_group_id" {
  description = "The security group of Redis or Valkey; it is opened to the tasks."
  type        = string
}

variable "admin_security_group_ids" {
  description = "Who may open the admin pages: security groups of a load balancer, a VPN or a bastion."
  type        = set(string)
  default     = []
}

variable "producer_role_arns" {
  description = "IAM roles that send events to the queue."
  type        = set(string)
  default     = []
}

variable "retention_seconds" {
  description = "How long the queue keeps a message: the longest outage that loses nothing. Below retention.ledger of maskline.yaml by a day."
  type        = number
  default     = 604800

  validation {
    condition     = var.retention_seconds >= 86400 && var.retention_seconds <= 1209600
    error_message = "From a day (86400) to 14 days (1209600)."
  }
}

variable "max_receive_count" {
  description = "After so many receives SQS moves a message to the dead-letter queue. Each crash, deployment or outage may cost one; pipelines that share a queue want 6."
  type        = number
  default     = 6

  validation {
    condition     = var.max_receive_count >= 3
    error_message = "Below 3, two crashes in a row are enough for good messages to become dead letters."
  }
}

variable "tasks" {
  description = "Size (Fargate's CPU units and MiB) and number of the tasks of each role. With `exclusive: true` one ingester drains at a time: max 2."
  type        = map(object({ cpu = number, memory = number, min = number, max = number }))
  default = {
    ingest    = { cpu = 1024, memory = 2048, min = 1, max = 6 }
    transform = { cpu = 1024, memory = 2048, min = 1, max = 8 }
    load      = { cpu = 512, memory = 1024, min = 1, max = 6 }
    admin     = { cpu = 256, memory = 512, min = 1, max = 1 }
  }

  validation {
    condition     = alltrue([for role in ["ingest", "transform", "load", "admin"] : contains(keys(var.tasks), role)])
    error_message = "ingest, transform, load and admin are needed."
  }

  validation {
    # Each holds 20,000 messages (limits.in_flight), and a queue has at most 120,000 in flight.
    condition     = try(var.tasks["ingest"].max, 0) <= 6
    error_message = "More than 6 ingesters could hold more than the 120,000 messages that a queue may have in flight."
  }
}

variable "max_age_seconds" {
  description = "When the oldest message has waited longer than this, it is an alarm."
  type        = number
  default     = 900
}

variable "alarm_topic_arns" {
  description = "SNS topics that hear of alarms, and of their end."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "How long CloudWatch keeps the logs."
  type        = number
  default     = 30
}
