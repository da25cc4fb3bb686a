resource "aws_ecs_cluster" "this" {
  name = var.name

  # The alarms and the scaling of ingest count running tasks.
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_service" "this" {
  for_each = var.tasks

  name            = each.key
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.this[each.key].arn
  launch_type     = "FARGATE"
  desired_count   = each.value.min
  propagate_tags  = "SERVICE"

  # The new ones first: any number of a role may run side by side, also of two versions.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets = var.subnet_ids
    security_groups = concat(
      [aws_security_group.tasks.id],
      each.key == "admin" ? [aws_security_group.admin.id] : [],
    )
    assign_public_ip = false
  }

  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task]

  lifecycle {
    # Scaling's business.
    ignore_changes = [desired_count]
  }
}
