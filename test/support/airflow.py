# What a file of DAGs makes, without Airflow: python3 airflow.py FILE prints its tasks as JSON, with the arguments of each
# and of its DAG.
import json
import runpy
import sys
import types
from datetime import datetime, timedelta

dags = []
tasks = []


class DAG:
    def __init__(self, **arguments):
        self.arguments = arguments

    def __enter__(self):
        dags.append(self)
        return self

    def __exit__(self, *_):
        dags.pop()


class BashOperator:
    def __init__(self, **arguments):
        tasks.append({"dag": dags[-1].arguments, "task": arguments})


def plain(value):
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


for name in ["airflow", "airflow.operators", "airflow.operators.bash"]:
    sys.modules[name] = types.ModuleType(name)
sys.modules["airflow"].DAG = DAG
sys.modules["airflow.operators.bash"].BashOperator = BashOperator
runpy.run_path(sys.argv[1])
print(json.dumps(tasks, default=plain))
