"""litejobs and its peers: each a class of its own module, in the order of the report."""

from benchmarks.contestants.base import Contestant
from benchmarks.contestants.django_tasks import DjangoTasksDb
from benchmarks.contestants.honker import Honker
from benchmarks.contestants.huey import HueyRedis, HueySqlite
from benchmarks.contestants.litequeue import Litequeue
from benchmarks.contestants.own import Litejobs
from benchmarks.contestants.persist_queue import PersistQueue
from benchmarks.contestants.rq import Rq
from benchmarks.contestants.tinyjobs import Tinyjobs

CONTESTANTS: list[type[Contestant]] = [
    Litejobs,
    HueySqlite,
    HueyRedis,
    Litequeue,
    PersistQueue,
    Tinyjobs,
    DjangoTasksDb,
    Rq,
    Honker,
]
