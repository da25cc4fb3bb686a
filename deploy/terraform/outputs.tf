output "queue_url" {
  description = "Where events are sent to."
  value       = aws_sqs_queue.events.id
}

output "dead_letter_queue_url" {
  description = "Where SQS puts what it has given up."
  value       = aws_sqs_queue.dead_letters.id
}

output "keyring_key_arn" {
  description = "For `maskline keys init --kms`."
  value       = aws_kms_key.keyring.arn
}

output "secret_names" {
  description = "The secrets that want a value before the services can start."
  value       = sort([for secret in aws_secretsmanager_secret.this : secret.name])
}

output "tasks_security_group_id" {
  description = "The security group of the tasks."
  value       = aws_security_group.tasks.id
}

output "migrate_command" {
  description = "Migrates the database: before the first start, and with each new version."
  value = join(" ", [
    "aws ecs run-task",
    "--cluster ${aws_ecs_cluster.this.name}",
    "--launch-type FARGATE",
    "--task-definition ${aws_ecs_task_definition.this["migrate"].family}",
    "--network-configuration 'awsvpcConfiguration={subnets=[${join(",", var.subnet_ids)}],securityGroups=[${aws_security_group.tasks.id}],assignPublicIp=DISABLED}'",
  ])
}
