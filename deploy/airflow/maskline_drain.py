"""One drain of maskline's queues every five minutes, and the daily maintenance of its tables, for Airflow 2.4 or newer, on
workers that have `maskline` and its maskline.yaml.

The drain fails with exit code 1 (something was given back to SQS, and comes again), 2 (configuration, schema or table
unfit; nothing was received) or 3 (something was away). It has no retries: the next run is one, and the messages wait in
SQS. The last line of stdout, the report of the last pipeline as JSON, is the task's XCom.
"""

from datetime import datetime, timedelta, timezone

from airflow import DAG

try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:  # Airflow 2
    from airflow.operators.bash import BashOperator

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
ENVIRONMENT = {"MASKLINE_CONFIG": "/etc/maskline/maskline.yaml"}

with DAG(
    dag_id="maskline_drain",
    schedule="*/5 * * * *",
    start_date=START,
    # What was missed is in the queue; one drain brings all of it.
    catchup=False,
    max_active_runs=1,
):
    BashOperator(
        task_id="drain",
        # `exec`, so that the SIGTERM with which Airflow ends a task reaches maskline, which stops within 25 s.
        bash_command="exec maskline drain --timeout 10m",
        env=ENVIRONMENT,
        append_env=True,
        retries=0,
        # Longer than --timeout and the time to stop: what Airflow ends by this has no report.
        execution_timeout=timedelta(minutes=12),
    )

# What the admin role does where there is one.
with DAG(
    dag_id="maskline_prune",
    schedule="17 3 * * *",
    start_date=START,
    catchup=False,
    max_active_runs=1,
):
    BashOperator(
        task_id="prune",
        bash_command="exec maskline prune",
        env=ENVIRONMENT,
        append_env=True,
        retries=2,
        retry_delay=timedelta(minutes=10),
        execution_timeout=timedelta(minutes=60),
    )
