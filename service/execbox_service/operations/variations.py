"""The surroundings that executions are varied by. Constants only; who runs them is elsewhere.

Values stay the same from request to request, so that the interpreters they need stay warm.
"""

from __future__ import annotations

from dataclasses import dataclass

from execbox_service.sandboxes.driver import Surroundings, Variation

CLOCK_LIBRARY = "{library}/libexecbox_clock.so"
"""Where it is differs between engines: the supervisor puts its own directory for the name."""
_DAY_S = 86_400
# Not a whole number of days, weeks or years: the hour, the weekday and the date all change.
_CLOCK_STEP_S = 400 * _DAY_S + 7 * 3600 + 13 * 60 + 17
_FROZEN_CLOCK_S = 1_800_000_000
_LIMIT_FACTOR = 2
_LOOK_NS = 1_300
"""How much more time passes with every look at the clock: so that durations differ, however
coarse the machine's clocks are."""
_OTHER_MACHINE = ("EXECBOX_MACHINE", "1")
"""Other numbers of files, and other answers of what tells about machine and container."""
_OTHER_DIRECTORY = "/dev/shm"  # noqa: S108 - inside the sandbox, and cleaned like /tmp
_ZONES = ("Asia/Kolkata", "America/St_Johns", "Pacific/Chatham", "Africa/Lagos")

VARIED = (
    "hash_seed",
    "address_layout",
    "clock",
    "entropy",
    "pid",
    "cwd",
    "timezone",
    "locale",
    "environment",
    "listing_order",
    "host",
    "timers",
    "thread_switching",
    "file_dates",
    "machine",
    "container",
)
"""What differs between the baseline and every further run, as a certificate names it."""


def run_variation(run: int) -> Variation:
    """The variation of run 2, 3 and so on: everything at once, and each run differently."""
    step = run - 1
    sign = 1 if step % 2 else -1
    return Variation(
        interpreter=(
            ("PYTHONHASHSEED", str(7919 * step)),
            ("LD_PRELOAD", CLOCK_LIBRARY),
            ("EXECBOX_CLOCK_OFFSET_S", str(sign * step * _CLOCK_STEP_S)),
            ("EXECBOX_CLOCK_STEP_NS", str(_LOOK_NS)),
            _OTHER_MACHINE,
        ),
        surroundings=(
            *_other_place(_ZONES[step % len(_ZONES)]),
            *_elsewhere("listings", "host", "heap", "timers", "switching", number=step),
        ),
        limit_factor=_LIMIT_FACTOR,
        apart=True,
    )


def further_variation(run: int) -> Variation:
    """As ``run_variation``, in the interpreter of run 2, which is there already.

    For what differs from one execution to the next, as draws do: a third interpreter, which takes
    as long to start as ten executions, would show nothing more of it.
    """
    return run_variation(run)._replace(interpreter=run_variation(2).interpreter)


_OTHER_PLACE: Surroundings = (
    ("cwd", _OTHER_DIRECTORY),
    ("home", _OTHER_DIRECTORY),
    ("locale", "de_DE.UTF-8"),
)


def _other_place(zone: str) -> Surroundings:
    return (*_OTHER_PLACE, ("tz", zone))


def _elsewhere(*names: str, number: int = 1) -> Surroundings:
    return (("elsewhere", names), ("elsewhere_number", number))


_PLAIN = Variation(limit_factor=_LIMIT_FACTOR)

REPEAT = _PLAIN
"""The baseline again: nothing differs but what differs between any two executions."""


def _standing_clock(moment_s: int) -> tuple[tuple[str, str], ...]:
    return (("LD_PRELOAD", CLOCK_LIBRARY), ("EXECBOX_CLOCK_FROZEN_S", str(moment_s)))


def _entropy(seed: int, *, interpreter: tuple[tuple[str, str], ...] = ()) -> Variation:
    return Variation(
        interpreter=interpreter,
        surroundings=(("entropy_seed", seed),),
        limit_factor=_LIMIT_FACTOR,
    )


@dataclass(frozen=True)
class Stillness:
    """One source held still, and the same source elsewhere.

    An output that is the same in every run under ``held``, and different under one of ``moved``,
    depends on this source. ``moved`` is for outputs that rarely change: under ``held`` alone they
    would seem to hold still.
    """

    cause: str
    held: Variation
    moved: tuple[Variation, ...]


_SHIFTED_TIMERS = Variation(surroundings=_elsewhere("timers"), limit_factor=_LIMIT_FACTOR)

# When the baseline does not even repeat. Identity first, addresses included, since those that
# are left differ in all of them.
HOLD_STILL = (
    Stillness(
        "process_state",
        Variation(surroundings=(("frozen", ("process",)),), limit_factor=_LIMIT_FACTOR),
        (
            Variation(
                surroundings=(*_other_place(_ZONES[1]), *_elsewhere("host", "heap")),
                limit_factor=_LIMIT_FACTOR,
            ),
        ),
    ),
    Stillness("entropy", _entropy(1), tuple(map(_entropy, (2, 3, 4, 5)))),
    Stillness(
        "clock",
        Variation(interpreter=_standing_clock(_FROZEN_CLOCK_S), limit_factor=_LIMIT_FACTOR),
        (
            Variation(
                interpreter=_standing_clock(_FROZEN_CLOCK_S + _CLOCK_STEP_S),
                limit_factor=_LIMIT_FACTOR,
            ),
            # The date as the end of a stretch of time, which stands still with it.
            _PLAIN,
        ),
    ),
    Stillness(
        "timing",
        Variation(surroundings=(("frozen", ("timers",)),), limit_factor=_LIMIT_FACTOR),
        (_SHIFTED_TIMERS,),
    ),
    # Both at once, as in uuid1: random bits are the part that never comes back.
    Stillness(
        "entropy",
        _entropy(1, interpreter=_standing_clock(_FROZEN_CLOCK_S)),
        (_entropy(2, interpreter=_standing_clock(_FROZEN_CLOCK_S)),),
    ),
)


@dataclass(frozen=True)
class Probe:
    """A variation in one thing, and what a difference under it is due to."""

    cause: str
    variation: Variation


# When the baseline repeats: vary one thing and see whether that makes the difference.
VARY_ONE = (
    Probe(
        "process_state",
        Variation(
            surroundings=(*_OTHER_PLACE, *_elsewhere("listings", "host")),
            limit_factor=_LIMIT_FACTOR,
        ),
    ),
    Probe(
        "process_state",
        Variation(
            interpreter=(("LD_PRELOAD", CLOCK_LIBRARY), _OTHER_MACHINE),
            limit_factor=_LIMIT_FACTOR,
        ),
    ),
    # The same hash seed in another interpreter: only addresses differ.
    Probe(
        "process_state",
        Variation(
            interpreter=(("EXECBOX_LAYOUT", "1"),),
            surroundings=_elsewhere("heap"),
            limit_factor=_LIMIT_FACTOR,
        ),
    ),
    Probe(
        "timing",
        Variation(
            interpreter=(("LD_PRELOAD", CLOCK_LIBRARY), ("EXECBOX_CLOCK_STEP_NS", str(_LOOK_NS))),
            surroundings=_elsewhere("timers", "switching"),
            limit_factor=_LIMIT_FACTOR,
        ),
    ),
    *(
        Probe(
            "hash_seed",
            Variation(interpreter=(("PYTHONHASHSEED", seed),), limit_factor=_LIMIT_FACTOR),
        )
        # Two, since one may order a small set as the baseline does.
        for seed in ("7919", "15838")
    ),
    Probe(
        "clock",
        Variation(
            interpreter=(
                ("LD_PRELOAD", CLOCK_LIBRARY),
                ("EXECBOX_CLOCK_OFFSET_S", str(_CLOCK_STEP_S)),
            ),
            limit_factor=_LIMIT_FACTOR,
        ),
    ),
    # After the clock: in a different zone it is a different date already, for some hours of a day.
    Probe(
        "process_state",
        Variation(surroundings=(("tz", _ZONES[1]),), limit_factor=_LIMIT_FACTOR),
    ),
    # What is left is the container itself.
    Probe("process_state", Variation(limit_factor=_LIMIT_FACTOR, apart=True)),
)
