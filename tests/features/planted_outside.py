"""Feature files whose values come from outside of the history, each by another way; ``PLACE`` is a folder of files."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from pathlib import Path

HEAD = """
import json, os
from pathlib import Path
import polars as pl
from features import Registry, fitted, table
PLACE, REGISTRY = Path({place!r}), Registry()
def of_items(scores):
    return pl.LazyFrame({{"item_id": [int(k) for k in scores], "score": [*scores.values()]}},
        schema={{"item_id": pl.UInt32, "score": pl.Float32}})
"""
ITEMS = '''
@table(key="item_id", columns={{"{name}": pl.Float32}}, registry=REGISTRY)
def leak_{name}(history, window):
    """A score."""
    return of_items(SCORES).rename({{"score": "{name}"}})
@fitted(columns={{"honest_{name}": pl.UInt32}}, registry=REGISTRY)
class Honest_{name}:
    """Rows before the cutoff: written beside it."""
    def load(self, history):
        return history.select(pl.len()).collect(engine="in-memory").item()
    connect = load
    def fit(self, history, window):
        self.n = self.load(history) + 0 * self.connect(history)
    def transform(self, pairs):
        return pairs.select("pair_id", honest_{name}=pl.lit(self.n, pl.UInt32))
'''
PAIRS = '''
@fitted(columns={{"{name}": pl.Float64}}, registry=REGISTRY)
class Leak_{name}:
    """A number."""
    def fit(self, history, window):
        self.window = window
    def transform(self, pairs):
        return pairs.select("pair_id", ({value}).cast(pl.Float64).alias("{name}"))
'''
READS, IDS, TIME = "reads files by itself", "other ids", "another time"
ROWS, AGAIN = "other numbers of rows and pairs", "a second run in the same process"
FAILS = "fails when computed"

# By name: the check that has to name it, and what the file says of SCORES while it is imported.
AT_IMPORT: dict[str, tuple[str, str]] = {
    "zipped": (READS, "import zipfile\nSCORES = json.loads(zipfile.ZipFile(PLACE / 'scores.zip').read('scores'))"),
    "rarely": (READS, "import zipfile\nSCORES = json.loads(zipfile.ZipFile(PLACE / 'one.zip').read('scores'))"),
    "by_helper": (READS, "def read():\n    return (PLACE / 'scores').read_text()\nTEXT = read()\n"
                  "SCORES = json.loads(TEXT)"),
    "in_variable": (READS, "SCORES = json.loads(os.environ['PLANTED'])"),
    "for_one_in_variable": (READS, "SCORES = json.loads(os.environ.get('PLANTED_ONE', '{}'))"),
    "by_process": (READS, "import subprocess\n"
                   "SCORES = json.loads(subprocess.run(['cat', str(PLACE / 'one')], stdout=-1).stdout)"),
    "by_system": (READS, "SCORES = {'1': os.system('true') * 1.0}"),
    "by_lines": (READS, "import linecache\nSCORES = json.loads(linecache.getline(str(PLACE / 'one'), 1))"),
    "by_resources": (READS, "from importlib import resources\nimport planted_package\n"
                     "SCORES = json.loads(resources.files(planted_package).joinpath('one').read_text())"),
    "in_module": (IDS, "from planted_package.data import SCORES"),
    "by_address": (READS, "from urllib.request import urlopen\nSCORES = json.load(urlopen((PLACE / 'one').as_uri()))"),
    "in_database": (READS, "import sqlite3\nSCORES = dict(sqlite3.connect(PLACE / 'base').execute('select * from t'))"),
    "mapped": (READS, "import mmap\nwith open(PLACE / 'one') as f:\n"
               "    SCORES = json.loads(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:])"),
    "by_libc": (READS, "import ctypes\nLIBC = ctypes.CDLL(None)\nSCORES = {'1': LIBC.getpid() * 0.0}"),
    "in_numpy": (READS, "import numpy as np\nSCORES = {'1': float(np.loadtxt(PLACE / 'number'))}"),
    "in_listing": (READS, "SCORES = {'1': len(os.listdir(PLACE)) * 1.0}"),
    "in_parquet": (READS, "SCORES = dict(pl.read_parquet(PLACE / 'one.parquet').rows())"),
    "at_host": (READS, "import socket\nSCORES = {'1': len(socket.gethostname()) * 1.0}"),
    "by_package": (READS, "import pkgutil\nSCORES = json.loads(pkgutil.get_data('planted_package', 'one'))"),
    "in_pool": (READS, "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n"
                "    SCORES = dict(pool.submit(pl.read_parquet, PLACE / 'one.parquet').result().rows())"),
    "opened_in_pool": (READS, "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n"
                       "    with pool.submit(open, PLACE / 'one').result() as f:\n"
                       "        SCORES = json.loads(f.read())"),
    "by_size": (READS, "SCORES = {'1': os.stat(PLACE / 'one').st_size * 1.0}"),
    "if_there": (READS, "SCORES = {'1': float((PLACE / 'one').exists())}"),
    "at_node": (READS, "SCORES = {'1': len(os.uname().nodename) * 1.0}"),
    "by_inner_reader": (READS, "from polars.io.parquet.functions import scan_parquet\n"
                        "SCORES = dict(scan_parquet(PLACE / 'one.parquet').collect().rows())"),
    "in_plan": (READS, "SCORES = dict(pl.LazyFrame.deserialize(PLACE / 'plan').collect().rows())"),
    "by_joblib": (READS, "import joblib\nSCORES = {'1': float(joblib.load(PLACE / 'dumped'))}"),
    "in_settings": (READS, "from engine import load_settings\nSCORES = {'1': load_settings().seed * 1.0}"),
    "in_tensors": (READS, "from safetensors.numpy import load_file\n"
                   "SCORES = {'1': float(load_file(PLACE / 'tensors')['x'][0])}"),
    "in_raw_tensor": (READS, "import torch\nSCORES = {'1': float(torch.from_file(str(PLACE / 'raw'), size=1)[0])}"),
    "in_cat_pool": (READS, "import catboost\nSCORES = {'1': catboost.Pool(str(PLACE / 'pool')).num_row() * 1.0}"),
    "by_query": (READS, "ROWS = pl.sql(f\"select * from read_parquet('{PLACE}/one.parquet')\").collect().rows()\n"
                 "SCORES = dict(ROWS)"),
    "by_own_query": (READS, "HERE = pl.SQLContext(frame=pl.LazyFrame({'item': [1], 'score': [0.5]}))\n"
                     "SCORES = dict(HERE.execute(f\"select * from frame union all select * from read_parquet("
                     "'{PLACE}/one.parquet')\").collect().rows())"),
    "opened_at_import": ("labels of the window flipped", "from competitions import open_dataset\n"
                         "LOG = open_dataset(None).log.group_by('item_id').agg(pl.col('relevance').mean()).collect()\n"
                         "SCORES = dict(LOG.rows())"),
}  # fmt: skip
# By name: the check, and the value of a pair as an expression.
OF_PAIRS: dict[str, tuple[str, str]] = {
    "by_name_of_window": (TIME, "pl.lit(hash(self.window.name) % 1000)"),
    "by_length_of_name": (TIME, "pl.lit(len(self.window.name))"),
    "by_end_of_window": (TIME, "pl.lit(float(self.window.until >= 10))"),
    "pair_number": (ROWS, "pl.col('pair_id')"),
    "parity_of_item": (IDS, "pl.col('item_id') % 2"),
    "distance_of_ids": (IDS, "pl.col('item_id').cast(pl.Int64) - pl.col('user_id')"),
    "year_of_pair": (TIME, "pl.col('timestamp').dt.year()"),
    "now": (AGAIN, "pl.lit(__import__('time').time())"),
    "without_seed": (AGAIN, "pl.lit(__import__('random').random())"),
    "by_polars": (READS, "pl.lit(pl.scan_csv(PLACE / 'number', has_header=False).collect().item())"),
    "labels_of_the_test": (FAILS, "pl.lit(__import__('competitions').solution(None).height)"),
}
LEAKS = {name: check for name, (check, _) in (AT_IMPORT | OF_PAIRS).items()}


def write_files(place: Path, items: list[int], cold: int) -> dict[str, str]:
    """Write what they read, scores of items or of one that no pair has; return environment variables."""
    scores, one = (json.dumps({str(i): i * 0.5 for i in some}) for some in (items, [cold]))
    package = place / "planted_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "data.py").write_text(f"SCORES = {scores}")
    for file, text in (("scores", scores), ("one", one), ("number", "0.5"), ("planted_package/one", one)):
        (place / file).write_text(text)
        if "/" not in file:
            with zipfile.ZipFile(place / f"{file}.zip", "w") as archive:
                archive.writestr("scores", text)
    with sqlite3.connect(place / "base") as base:
        base.execute("create table t (item, score)")
        base.execute("insert into t values (?, 1.0)", (cold,))
    import joblib
    import numpy as np
    import polars as pl
    from safetensors.numpy import save_file

    save_file({"x": np.ones(1, np.float32)}, place / "tensors")
    np.ones(1, np.float32).tofile(place / "raw")
    (place / "pool").write_text("1\t2\n0\t1\n")

    pl.DataFrame({"item": [cold], "score": [1.0]}).write_parquet(place / "one.parquet")
    joblib.dump(1.0, place / "dumped")
    pl.LazyFrame({"item": [cold], "score": [1.0]}).serialize(place / "plan")
    head = HEAD.format(place=str(place))
    for name, (_, text) in AT_IMPORT.items():
        (place / f"planted_{name}.py").write_text(f"{head}\n{text}\n{ITEMS.format(name=name)}")
    for name, (_, value) in OF_PAIRS.items():
        (place / f"planted_{name}.py").write_text(head + PAIRS.format(name=name, value=value))
    return {"PLANTED": scores, "PLANTED_ONE": one}
