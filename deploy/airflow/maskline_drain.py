"""One drain of maskline's queues, for Airflow 2.4 or newer, on workers that have `maskline` and its maskline.yaml.

The task fails with exit code 1 (something was given back to SQS, and comes again), 2 (configuration, schema or table
unfit; nothing was received) or 3 (something was away). It has no retries: the next run is one, and the messages wait in
SQS. The last line of stdout, the report of the last pipeline as JSON, is the task's XCom.
"""

from datetime import datetime, timedelta, timezone

from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG(
    dag_id="maskline_drain",
    schedule="*/5 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    # What was missed is in the queue; one drain brings all of it.
    catchup=False,
    max_active_runs=1,
) as dag:
    BashOperator(
        task_id="drain",
        # `exec`, so that the SIGTERM with which Airflow ends a task reaches maskline, which stops within 25 s.
        bash_command="exec maskline drain --timeout 10m",
        env={"MASKLINE_CONFIG": "/etc/maskline/maskline.yaml"},
        append_env=True,
        retries=0,
        # Longer than --timeout and the time to stop: what Airflow ends by this has no report.
        execution_timeout=timedelta(minutes=12),
    )
