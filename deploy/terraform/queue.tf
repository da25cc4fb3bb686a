# Both queues are encrypted by a key of their own, so that the right to decrypt is apart from the right to receive.

resource "aws_sqs_queue" "dead_letters" {
  name                              = "${var.name}-dlq"
  message_retention_seconds         = 1209600 # The clock of a message that is moved goes on: as long as SQS can.
  kms_master_key_id                 = aws_kms_key.queue.arn
  kms_data_key_reuse_period_seconds = 3600
}

resource "aws_sqs_queue" "events" {
  name                              = var.name
  visibility_timeout_seconds        = 300 # maskline names its own with each receive.
  message_retention_seconds         = var.retention_seconds
  receive_wait_time_seconds         = 20
  kms_master_key_id                 = aws_kms_key.queue.arn
  kms_data_key_reuse_period_seconds = 3600

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.max_receive_count
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.events.arn]
  })
}

resource "aws_sqs_queue_policy" "tls" {
  for_each = {
    events       = aws_sqs_queue.events
    dead_letters = aws_sqs_queue.dead_letters
  }

  queue_url = each.value.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = each.value.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
