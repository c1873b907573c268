"""A real Neo4j server without an installer: for tests, benchmarks and the demo.

Its class path comes from Maven Central once and is kept in the user's cache folder; the server
runs on a loopback port of its own, with authentication on. Needs Java and Maven on the machine.

    python deploy/neo4j_server.py --home /tmp/shop-graph
"""

from __future__ import annotations

import argparse
import atexit
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

from neo4j import GraphDatabase
from neo4j.exceptions import AuthError, DriverError, Neo4jError

LTS = "5.26.30"
CURRENT = "2026.08.1"

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>firstedge</groupId><artifactId>neo4j-class-path</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.neo4j.test</groupId><artifactId>neo4j-harness</artifactId>
    <version>{version}</version>
  </dependency></dependencies>
</project>
"""

CONF = """server.default_listen_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:{port}
server.bolt.advertised_address=localhost:{port}
server.http.enabled=false
server.https.enabled=false
dbms.security.auth_enabled=true
dbms.usage_report.enabled=false
server.memory.pagecache.size=256m
db.tx_log.preallocate=false
"""

TLS_CONF = """server.bolt.tls_level=REQUIRED
dbms.ssl.policy.bolt.enabled=true
dbms.ssl.policy.bolt.base_directory={folder}
dbms.ssl.policy.bolt.private_key=private.key
dbms.ssl.policy.bolt.public_certificate=public.crt
dbms.ssl.policy.bolt.client_auth=NONE
"""


class ServerMissingError(RuntimeError):
    """Java or Maven is not on this machine, or Maven could not get the server."""


@dataclass(frozen=True)
class Release:
    """How one Neo4j release is started.

    Attributes:
        version: The version on Maven Central.
        main: The main class.
        java: The Java release it runs on.
    """

    version: str
    main: str
    java: int

    @classmethod
    def of(cls, version: str) -> Release:
        """The release of that version number."""
        if version.startswith("5."):
            return cls(version, "org.neo4j.server.CommunityEntryPoint", 17)
        return cls(version, "org.neo4j.server.Neo4jCommunity", 25)

    def find_java(self) -> Path:
        """The `java` command: from JAVA_HOME_<release>, or from the system's folder of JDKs.

        Raises:
            ServerMissingError: If there is none.
        """
        named = os.environ.get(f"JAVA_HOME_{self.java}")
        jvms = Path("/usr/lib/jvm")
        homes = [Path(named)] if named else sorted(jvms.glob(f"*-{self.java}-*"))
        for home in homes:
            if (home / "bin" / "java").exists():
                return home / "bin" / "java"
        raise ServerMissingError(
            f"Neo4j {self.version} needs Java {self.java}: set JAVA_HOME_{self.java}"
        )

    def find_jars(self) -> Path:
        """The folder of the server's jars, filled from Maven Central at the first call.

        Raises:
            ServerMissingError: If Maven is missing or fails.
        """
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jars = base / "firstedge" / "neo4j" / self.version
        jars.parent.mkdir(parents=True, exist_ok=True)
        with _locked(jars.with_suffix(".lock")):
            if not jars.exists():
                self._download(jars)
        return jars

    def _download(self, jars: Path) -> None:
        maven = shutil.which("mvn")
        if maven is None:
            raise ServerMissingError("Neo4j comes through Maven, and there is no mvn on the path")
        with tempfile.TemporaryDirectory(dir=jars.parent) as folder:
            pom, filling = Path(folder) / "pom.xml", Path(folder) / "jars"
            pom.write_text(POM.format(version=self.version))
            command = [maven, "-B", "-q", "-f", str(pom), "dependency:copy-dependencies"]
            command.append(f"-DoutputDirectory={filling}")
            done = subprocess.run(  # noqa: S603 - our own arguments
                command, capture_output=True, text=True, timeout=540, check=False
            )
            if done.returncode:
                raise ServerMissingError(
                    f"mvn could not get Neo4j {self.version}: {done.stdout[-800:]}"
                )
            filling.rename(jars)


class Neo4jServer:
    """One server process with a home folder of its own, which survives a restart.

    Args:
        home: The folder for data, configuration, log and password; made if missing.
        version: A version of Neo4j, 5.26.x or 2026.x.
        tls: A folder with ``private.key`` and ``public.crt``: the server then speaks TLS only.
        java_options: Further options of the ``java`` command, after our own.
    """

    def __init__(
        self,
        home: Path,
        version: str = LTS,
        tls: Path | None = None,
        java_options: tuple[str, ...] = (),
    ) -> None:
        self.home = home.absolute()
        self.release = Release.of(version)
        self.tls = tls
        self.java_options = java_options
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """``bolt://`` (``bolt+s://`` with TLS), host and port; a restart keeps the port."""
        return f"bolt{'+s' if self.tls else ''}://localhost:{self._port}"

    @property
    def password_file(self) -> Path:
        """A file that only its owner can read."""
        return self.home / "password"

    @property
    def password(self) -> str:
        """The password of the user ``neo4j``."""
        return self.password_file.read_text()

    def start(self, timeout: float = 600) -> Neo4jServer:
        """Start it and wait until it answers.

        Raises:
            ServerMissingError: If Java, Maven or the server cannot be found.
            RuntimeError: If it does not come up; with the end of its log.
        """
        java, jars = self.release.find_java(), self.release.find_jars()
        self._configure()
        command = [str(java), "-Xms512m", "-Xmx512m", "-XX:+UseG1GC"]
        command += [f"--add-opens=java.base/{p}=ALL-UNNAMED" for p in ("java.nio", "java.io")]
        command += ["--add-opens=java.base/sun.nio.ch=ALL-UNNAMED", *self.java_options]
        command += ["-cp", f"{jars}/*", self.release.main]
        command += [f"--home-dir={self.home}", f"--config-dir={self.home}/conf"]
        with (self.home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        atexit.register(self.kill)
        self._await(time.monotonic() + timeout)
        return self

    def stop(self) -> None:
        """Ask it to end and wait for that; a server that is down stays so."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def restart(self) -> Neo4jServer:
        """Stop it if it runs, then start it on the same port with the same data."""
        self.stop()
        return self.start()

    def __enter__(self) -> Neo4jServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _configure(self) -> None:
        (self.home / "conf").mkdir(parents=True, exist_ok=True)
        self._port = self._port or _free_port()
        conf = CONF.format(port=self._port)
        if self.tls:
            conf += TLS_CONF.format(folder=self.tls.absolute())
        (self.home / "conf" / "neo4j.conf").write_text(conf)
        if not self.password_file.exists():
            self.password_file.touch(mode=0o600)
            self.password_file.write_text(secrets.token_urlsafe(18))

    def _await(self, deadline: float) -> None:
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            try:
                return self._log_in()
            except (DriverError, Neo4jError):
                time.sleep(0.2)
        self.kill()
        tail = (self.home / "server.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(
            f"Neo4j {self.release.version} did not start; its log ends with:\n{tail}"
        )

    def _log_in(self) -> None:
        try:
            self._run(self.password, "neo4j", "RETURN 1")
        except AuthError:  # a new home: the first login must change the password
            change = "ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO $password"
            self._run("neo4j", "system", change)
            self._run(self.password, "neo4j", "RETURN 1")

    def _run(self, password: str, database: str, query: LiteralString) -> None:
        url = self.url.replace("+s:", "+ssc:")
        with (
            GraphDatabase.driver(url, auth=("neo4j", password)) as driver,
            driver.session(database=database) as session,
        ):
            session.run(query, password=self.password).consume()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        atexit.unregister(self.kill)
        process.send_signal(how)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Run a server until Ctrl-C."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder for data and password")
    parser.add_argument("--version", default=LTS, help=f"{LTS} or {CURRENT}")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Neo4jServer(given.home, given.version) as server:
        print(f"export FIRSTEDGE_STORE={server.url} NEO4J_PASSWORD_FILE={server.password_file}")
        print("Neo4j is up; Ctrl-C stops it.", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
