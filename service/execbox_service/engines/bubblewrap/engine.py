"""The bubblewrap engine: one process tree in namespaces and cgroups of its own per sandbox.

For machines without a Docker daemon. The policy is in ``plan``; what of the machine it
needs is found by ``cgroups``, ``user_namespace``, ``host_python`` and ``runner_files``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any, Final, ParamSpec, TypeVar

from execbox_service.engines.base import (
    EngineFacts,
    EngineUnavailable,
    Lacking,
    PostMortem,
    SandboxLost,
)
from execbox_service.engines.bubblewrap import (
    cgroup_roots,
    cgroups,
    container_flags,
    host_python,
    user_namespace,
)
from execbox_service.engines.bubblewrap import seccomp_bpf as bpf
from execbox_service.engines.bubblewrap.child import Child, Launcher
from execbox_service.engines.bubblewrap.plan import LIBRARY, Machine, runner_command
from execbox_service.engines.bubblewrap.runner_files import (
    CLOCK_LIBRARY,
    RunnerFiles,
    image_here,
    syscall_numbers,
)
from execbox_service.engines.container_spec import ContainerSpec
from execbox_service.engines.frame_stream import FrameStream
from execbox_service.runner_frames import OtherProtocol, Ready, SupervisorFrame

logger = logging.getLogger(__name__)

_READY_S: Final = 30.0
_LIST_PACKAGES_S: Final = 60.0
_PACKAGES_BYTES_MAX: Final = 4 * 1024 * 1024
_ENGINE_THREAD_COUNT: Final = 4
_P = ParamSpec("_P")
_T = TypeVar("_T")

_WEAKER_IMAGE: Final = (
    "the interpreter and its packages are this machine's, not a pinned image's: outputs may "
    "differ from machine to machine"
)
_WEAKER_FILES: Final = "functions can read this machine's /usr, and see what is installed there"
_WEAKER_PROFILE: Final = "no AppArmor or SELinux profile and no other OCI runtime confines them"
_WEAKER_CPU: Final = "a sandbox's share of the CPU is not bounded: there is no cpu controller here"
_WEAKER_VARIATIONS: Final = {
    "clock": "determinism is not checked under a different clock, with different dates of files or "
    "on what looks like a different machine in /proc; with a C compiler (apt install gcc "
    "libc6-dev) and a /tmp that is not mounted noexec it would be",
    "locale": "determinism is not checked under a different locale; make it with: "
    "localedef -i de_DE -f UTF-8 de_DE.UTF-8 (apt install locales)",
}
_WEAKER_SWAP: Final = "a sandbox's memory may be swapped out: the kernel does not account for swap"


class _Errors:
    """Follows a sandbox's stderr, so that what its trusted processes complain of can be told."""

    def __init__(self, fd: int, stream: FrameStream) -> None:
        self._fd = fd
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    def close(self) -> None:
        """Read what is left and stop; may be called twice."""
        if self._fd >= 0:
            self._read()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            part = os.read(self._fd, 4096)
            self._stream.keep_stderr(part)
            if not part:
                self._loop.remove_reader(self._fd)
                os.close(self._fd)
                self._fd = -1


class BubblewrapSandbox:
    """One bubblewrap process tree and the stream to its supervisor."""

    def __init__(
        self,
        engine: BubblewrapEngine,
        child: Child,
        *,
        stream: FrameStream,
        errors: _Errors,
        ready: Ready,
    ) -> None:
        self.name = child.group.name
        self.ready = ready
        self._engine = engine
        self._child = child
        self._stream = stream
        self._errors = errors

    @property
    def lost(self) -> bool:
        """Whether the stream is already known to be broken."""
        return self._stream.closed

    def send(self, *frame: bytes) -> None:
        self._stream.send(*frame)

    async def receive(self, timeout_s: float) -> SupervisorFrame:
        return await self._stream.receive(timeout_s)

    async def set_memory_mb(self, memory_mb: int) -> None:
        try:
            await self._engine.limit_memory(self._child.group, memory_mb)
        except EngineUnavailable as error:
            raise SandboxLost(str(error)) from error

    async def post_mortem(self) -> PostMortem:
        return PostMortem(oom_killed=await self._engine.saw_oom(self._child.group))

    async def destroy(self) -> None:
        self._stream.close()
        await self._engine.remove(self._child)
        self._errors.close()


class BubblewrapEngine:
    """Makes sandboxes on this machine, without any daemon."""

    def __init__(self, spec: ContainerSpec) -> None:
        self._spec = spec
        # Its threads live until the engine stops, as what they start needs them to.
        self._threads = ThreadPoolExecutor(_ENGINE_THREAD_COUNT, thread_name_prefix="bubblewrap")
        self._files = RunnerFiles()
        self._machine: Machine | None = None
        self._groups: cgroups.ServiceGroups | None = None
        self._launcher: Launcher | None = None
        self._user_namespace_fd = -1
        self._own: dict[str, Child] = {}
        self._stopped = False
        self._closed = False

    # Life of the engine

    async def start(self) -> EngineFacts:
        try:
            await self._call(self._prepare)
            packages = await self._call(self._list_packages)
        except BaseException:
            await self.stop()
            raise
        missing = packages["variations_missing"]
        image = image_here()
        return EngineFacts(
            engine="bubblewrap",
            image=image or f"host:python-{packages['python']}",
            python=packages["python"],
            packages=packages["packages"],
            imports=packages["imports"],
            weaker_than_docker=_weaker(self._started[2], missing, in_image=image is not None),
            variations_missing=tuple(missing),
        )

    def _prepare(self) -> None:
        """Find everything that sandboxes are made from; what is quickest to look for goes first."""
        programs = find_programs()
        python = host_python.find()
        roots, self._user_namespace_fd = _rights()
        numbers = syscall_numbers(platform.machine())
        profile = (
            resources.files("execbox_service.engines").joinpath("seccomp.json").read_text("utf-8")
        )
        self._files.make(python.executable)
        self._machine = Machine(
            bwrap=programs["bwrap"],
            setpriv=programs["setpriv"],
            python=python,
            files=self._files.path,
            library=self._files.library,
            as_root=os.geteuid() == 0,
        )
        self._launcher = Launcher(
            self._spec,
            self._machine,
            self._user_namespace_fd,
            bpf.compile_profile(profile, machine=platform.machine(), numbers=numbers),
        )
        self._groups = cgroups.ServiceGroups(roots)
        self._groups.open()
        self._groups.sweep()

    async def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        await asyncio.gather(*(self.remove(child) for child in list(self._own.values())))
        with contextlib.suppress(EngineUnavailable):
            await self._call(self._put_away)
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _put_away(self) -> None:
        if self._groups is not None:
            self._groups.close()
        if self._user_namespace_fd >= 0:
            os.close(self._user_namespace_fd)
            self._user_namespace_fd = -1
        self._files.remove()

    def _list_packages(self) -> dict[str, Any]:
        """Ask the interpreter what it has, in a sandbox: some packages run code to be listed."""
        python = self._started[0].python.executable
        clock = f"{LIBRARY}/{CLOCK_LIBRARY}"
        child = self._launch([python, "-s", "-P", "-c", host_python.PACKAGES_PROGRAM, clock])
        try:
            with child.stream as stream, open(child.stderr_fd, "rb") as errors:
                stream.settimeout(_LIST_PACKAGES_S)
                with stream.makefile("rb") as output:
                    said = output.read(_PACKAGES_BYTES_MAX)
                trouble = errors.read(2000)
            return _packages(said, trouble)
        finally:
            self._end(child)

    @property
    def _started(self) -> tuple[Machine, Launcher, cgroups.ServiceGroups]:
        if self._machine is None or self._launcher is None or self._groups is None:
            raise EngineUnavailable("the engine has not been started")
        return self._machine, self._launcher, self._groups

    # Sandboxes

    async def create(self) -> BubblewrapSandbox:
        command = runner_command(self._started[0])
        launching = asyncio.ensure_future(self._call(self._launch, command))
        try:
            child = await asyncio.shield(launching)
        except asyncio.CancelledError:
            launching.add_done_callback(self._not_wanted)
            raise
        try:
            return await self._greet(child)
        except BaseException:
            await asyncio.shield(self.remove(child))
            raise

    def _launch(self, command: list[str]) -> Child:
        _machine, launcher, groups = self._started
        child = launcher.start(groups.new(), command)
        self._own[child.group.name] = child
        return child

    def _not_wanted(self, launching: asyncio.Future[Child]) -> None:
        """The caller that asked for it went away while it was being started."""
        if not launching.cancelled() and launching.exception() is None:
            child = launching.result()
            child.stream.close()
            os.close(child.stderr_fd)
            self._threads.submit(self._end, child)

    async def _greet(self, child: Child) -> BubblewrapSandbox:
        try:
            stream = await FrameStream.open(child.stream)
        except BaseException:
            os.close(child.stderr_fd)
            raise
        errors = _Errors(child.stderr_fd, stream)
        try:
            ready = await stream.receive(_READY_S)
            if isinstance(ready, OtherProtocol):
                raise Lacking(f"the installed runner: {ready}", remedy="install execbox again")
            if not isinstance(ready, Ready):
                raise SandboxLost("it answered something else than ready")
        except BaseException as error:
            errors.close()
            stream.close()
            if isinstance(error, SandboxLost):
                said = stream.stderr_text or str(error)
                raise EngineUnavailable(f"a new sandbox did not become ready: {said}") from error
            raise
        return BubblewrapSandbox(self, child, stream=stream, errors=errors, ready=ready)

    async def limit_memory(self, group: cgroups.SandboxGroup, memory_mb: int) -> None:
        """Change the memory limit of a sandbox that has not run anything yet."""
        await self._call(group.limit_memory, self._spec.memory_bytes(memory_mb))

    async def saw_oom(self, group: cgroups.SandboxGroup) -> bool:
        """Whether the kernel ended a process of this sandbox because of its own memory limit."""
        try:
            return await self._call(group.ran_out_of_memory)
        except EngineUnavailable:
            return False

    async def remove(self, child: Child) -> None:
        """End a sandbox and remove its groups; may be called twice, failures are logged."""
        if self._closed:
            return
        try:
            await self._call(self._end, child)
        except EngineUnavailable as error:
            # It stays among ours, so that stopping tries again, and the next service after that.
            logger.warning("could not remove sandbox %s: %s", child.group.name, error)

    def _end(self, child: Child) -> None:
        if child.group.name in self._own:
            child.end()
            self._own.pop(child.group.name, None)

    async def sweep(self) -> int:
        """End what services that no longer live have left."""
        count = await self._call(self._started[2].sweep)
        if count:
            logger.warning("removed %d sandboxes that nobody owned", count)
        return count

    async def _call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run blocking work in a thread; whatever the system refuses there is the engine's."""
        if self._closed:
            raise EngineUnavailable("the engine has been stopped")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise EngineUnavailable(f"bubblewrap: {error}") from error


def find_programs() -> dict[str, str]:
    """Where the programs are that make sandboxes. Raises Lacking."""
    if sys.platform != "linux":
        raise Lacking(
            f"bubblewrap is for Linux, and this is {sys.platform}", remedy="use the docker engine"
        )
    found = {}
    for name, package in {"bwrap": "bubblewrap", "setpriv": "util-linux"}.items():
        # Not from PATH: setpriv runs in the sandbox, which has the system's programs only.
        path = shutil.which(name, path="/usr/bin:/bin")
        if path is None:
            raise Lacking(
                f"{name} is not installed",
                remedy=f"install it with: apt install {package} (or dnf install {package})",
            )
        found[name] = path
    return found


def _rights() -> tuple[cgroup_roots.Roots, int]:
    """Where groups are made, and a user namespace. Raises Lacking for all that is missing at once.

    A container is started anew for each flag it lacks, so none is left for the next time.
    """
    lacking: list[Lacking] = container_flags.withheld()
    roots, user_namespace_fd = None, -1
    try:
        roots = cgroup_roots.find_roots()
    except cgroup_roots.NoCgroups as error:
        lacking.append(error)
    try:
        user_namespace_fd = user_namespace.make()
    except user_namespace.NoUserNamespace as error:
        lacking.append(error)
    if roots is not None and not lacking:
        return roots, user_namespace_fd
    if user_namespace_fd >= 0:
        os.close(user_namespace_fd)
    told: dict[str, str] = {}
    for one in lacking:
        # The first of each remedy: what is known to be withheld, before what failed for want of it.
        told.setdefault(one.remedy, one.found)
    raise Lacking("; ".join(told.values()), remedy="; ".join(told))


def _weaker(
    groups: cgroups.ServiceGroups, variations_missing: list[str], *, in_image: bool
) -> tuple[str, ...]:
    found = [_WEAKER_PROFILE] if in_image else [_WEAKER_IMAGE, _WEAKER_FILES, _WEAKER_PROFILE]
    if not groups.cpu_limited:
        found.append(_WEAKER_CPU)
    if not groups.swap_limited:
        found.append(_WEAKER_SWAP)
    return (
        *found,
        *(text for name, text in _WEAKER_VARIATIONS.items() if name in variations_missing),
    )


def _packages(said: bytes, trouble: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(said)
    except ValueError as error:
        text = trouble.decode("utf-8", "replace").strip() or "it ended without an answer"
        flags = "; ".join(container_flags.suspects())
        raise EngineUnavailable(
            f"a sandbox cannot be made here: {text}" + (f"; {flags}" if flags else "")
        ) from error
    return found
