"""Every kind of connection that an app may have: how it begins, writes and commits."""

import sqlite3
import sys

import apsw
import django
import sqlalchemy
from django.conf import settings
from django.db import connections, transaction
from sqlalchemy import orm


class Standard:
    driver = "sqlite3"
    options = {}  # noqa: RUF012

    def __init__(self, database):
        self.connection = sqlite3.connect(database, timeout=0, **self.options)
        self.connection.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
        self.connection.commit()
        self.execute = self.connection.execute
        self.commit = self.connection.commit
        self.roll_back = self.connection.rollback

    def begin(self):
        """The library does it, at the first write."""

    def close(self):
        self.connection.close()


class Explicit(Standard):
    options = {"isolation_level": None}  # noqa: RUF012

    def begin(self):
        self.execute("BEGIN")


class Immediate(Standard):
    options = {"isolation_level": "IMMEDIATE"}  # noqa: RUF012


class AutocommitOff(Standard):
    """As new as Python 3.12."""

    options = {"autocommit": False}  # noqa: RUF012


class Apsw(Standard):
    driver = "apsw"

    def __init__(self, database):
        self.connection = apsw.Connection(str(database))
        self.connection.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
        self.execute = self.connection.execute

    def begin(self):
        self.execute("BEGIN")

    def commit(self):
        self.execute("COMMIT")

    def roll_back(self):
        self.execute("ROLLBACK")


class Core:
    driver = "sqlite3"

    def __init__(self, database):
        self.engine = sqlalchemy.create_engine(f"sqlite:///{database}")
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
        self.connection = self.connect()

    def connect(self):
        return self.engine.connect()

    def begin(self):
        """SQLAlchemy does it, at the first statement."""

    def execute(self, sql):
        self.connection.execute(sqlalchemy.text(sql))

    def commit(self):
        self.connection.commit()

    def roll_back(self):
        self.connection.rollback()

    def close(self):
        self.connection.close()
        self.engine.dispose()


class Session(Core):
    def connect(self):
        return orm.Session(self.engine)


class Scoped(Core):
    def connect(self):
        return orm.scoped_session(orm.sessionmaker(self.engine))

    def close(self):
        self.connection.remove()
        self.engine.dispose()


class Django:
    driver = "sqlite3"
    alias = "jobs"

    def __init__(self, database):
        if not settings.configured:
            settings.configure()
            django.setup()
        connections.settings[self.alias] = connections.configure_settings(
            {"default": {}, "jobs": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(database)}}
        )["jobs"]
        self.connection = connections[self.alias]
        self.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")

    def begin(self):
        self.atomic = transaction.atomic(self.alias)
        self.atomic.__enter__()

    def execute(self, sql):
        with connections[self.alias].cursor() as cursor:
            cursor.execute(sql)

    def commit(self):
        self.atomic.__exit__(None, None, None)

    def roll_back(self):
        self.atomic.__exit__(KeyError, KeyError(), None)

    def close(self):
        connections[self.alias].close()
        del connections[self.alias]


class DjangoDefault(Django):
    """By ``django.db.connection``, which stands for another object in each thread."""

    alias = "default"

    def __init__(self, database):
        if not settings.configured:
            settings.configure()
            django.setup()
        connections.settings["default"] = connections.configure_settings(
            {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(database)}}
        )["default"]
        self.connection = django.db.connection
        self.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")


KINDS = [Standard, Explicit, Immediate, Apsw, Core, Session, Scoped, Django, DjangoDefault]
if sys.version_info >= (3, 12):
    KINDS.append(AutocommitOff)
#: Of each library one, for what does not depend on how its transactions begin.
LIBRARIES = [Standard, Apsw, Session, Django]
