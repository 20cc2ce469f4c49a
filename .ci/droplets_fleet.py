"""A year of a fleet of virtual machines, made up from a seed, and its exact availability: see .ci/droplets.py.

What a hypervisor's exporter tells of its droplets (states of libvirt's domains), and an inventory of the droplets
that exist. Hypervisors die, droplets crash, are switched off by their owners, come and go, and move.
"""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
SLICE = 5 * MINUTE
STATE = "libvirt_domain_info_vstate"
INFO = "droplet_info"
# States of domains: nostate 0, running 1, blocked 2, paused 3, shutting down 4, shut off 5, crashed 6, suspended 7.
RUNNING = 1
GOOD = [1, 2]
IGNORED = [3, 4, 5, 7]
MISSING = -1


def at(*date):
    return int(datetime(*date, tzinfo=UTC).timestamp())


BEGIN = at(2025, 1, 1)
END = at(2026, 1, 1)
# Beginnings of months, and of the one in which a sample at the very beginning lies.
MONTHS = [at(2024, 12, 1)] + [at(2025, month, 1) for month in range(1, 13)] + [END]
LABELS = [f"{datetime.fromtimestamp(month, UTC):%Y-%m}" for month in MONTHS[:-1]]
INVENTORY_OFFSET = 150


@dataclass
class Away:
    """Exclusions: a hypervisor, for how long it was announced, and for how long it was down."""

    name: str
    kind: str
    hypervisor: int
    begin: int
    until: int
    down: tuple


AWAY = [
    # Neither end is one of slices: they are widened.
    Away("firmware", "scheduled-maintenance", 1, at(2025, 5, 11, 2, 31), at(2025, 5, 11, 3, 58), (9 * MINUTE, -300)),
    # A class that the SLA does not count.
    Away("load-test", "load-test", 2, at(2025, 9, 7, 10), at(2025, 9, 7, 11), (5 * MINUTE, -9 * MINUTE)),
]


@dataclass
class Run:
    """The states of a droplet on one hypervisor, one per scrape; `MISSING` where there is none."""

    hypervisor: int
    first: int
    states: numpy.ndarray


@dataclass
class Droplet:
    name: str
    begin: int
    until: int
    # Hypervisors and since when.
    places: list
    runs: list = field(default_factory=list)

    def lives(self):
        """Where it was, since when and until when."""
        ends = [since for _, since in self.places[1:]] + [self.until]
        return [(place, since, end) for (place, since), end in zip(self.places, ends, strict=True)]


class Fleet:
    def __init__(self, n_droplets, seed=7):
        self.random = random.Random(seed)
        self.n_hypervisors = max(4, n_droplets // 50)
        self.down = [self.outages(hypervisor) for hypervisor in range(self.n_hypervisors)]
        self.droplets = [self.droplet(number) for number in range(n_droplets)]

    def between(self, begin, end):
        return self.random.randrange(begin, end)

    @staticmethod
    def scrape(hypervisor):
        """Interval and offset. One hypervisor is scraped every minute, and at the ends of slices."""
        return (MINUTE, 0) if hypervisor == 0 else (SLICE, hypervisor * 37 % SLICE)

    @staticmethod
    def host(hypervisor):
        return f"hv{hypervisor:02}"

    def outages(self, hypervisor):
        spans = [(away.begin + away.down[0], away.until + away.down[1]) for away in AWAY if away.hypervisor == hypervisor]
        for _ in range(self.between(2, 5)):
            begin = self.between(BEGIN, END)
            spans.append((begin, begin + self.between(4 * MINUTE, 90 * MINUTE)))
        return spans

    def droplet(self, number):
        begin, until = BEGIN, END + 1
        if self.random.random() < 0.2:
            begin = self.between(BEGIN, END - 30 * DAY)
        if self.random.random() < 0.15:
            until = self.between(begin + DAY, END)
        droplet = Droplet(f"d{number:04}", begin, until, [(number % self.n_hypervisors, begin)])
        if self.random.random() < 0.2:
            self.move(droplet)
        paint = self.paint(begin, until)
        for hypervisor, since, end in droplet.lives():
            interval, offset = self.scrape(hypervisor)
            first = -(-(since - offset) // interval) * interval + offset
            times = numpy.arange(first, end, interval)
            states = numpy.full(len(times), RUNNING, dtype=numpy.int8)
            for from_s, to_s, state in paint + [(*span, MISSING) for span in self.down[hypervisor]]:
                states[numpy.searchsorted(times, from_s) : numpy.searchsorted(times, to_s)] = state
            droplet.runs.append(Run(hypervisor, first, states))
        return droplet

    def move(self, droplet):
        moment = self.between(droplet.begin, droplet.until)
        target = self.between(0, self.n_hypervisors)
        # Nobody moves while an exclusion holds: it would be about whole droplets.
        if any(abs(moment - away.begin) < DAY for away in AWAY):
            return
        if target != droplet.places[0][0]:
            droplet.places.append((target, moment))

    def paint(self, begin, until):
        """What befalls a droplet: from, to, state; the later ones win."""
        spans = []

        def add(n, shortest, longest, state):
            for _ in range(n):
                since = self.between(begin, until)
                spans.append((since, since + self.between(shortest, longest), state))

        add(self.between(0, 4), HOUR, 3 * DAY, 2)
        if self.random.random() < 0.3:
            add(self.between(1, 8), HOUR, 6 * DAY, 5)
            # On the way there.
            spans += [(since - SLICE, since, 4) for since, _, state in spans if state == 5]
        add(self.between(0, 6), SLICE, 20 * MINUTE, 3)
        add(self.between(0, 2), HOUR, DAY, 7)
        add(self.between(0, 5), 3 * MINUTE, 40 * MINUTE, 6)
        add(self.between(0, 3), MINUTE, SLICE, 0)
        return spans

    def write(self, out):
        """All samples as OpenMetrics, a week after another."""
        written = 0
        for begin in range(BEGIN, END + 1, 7 * DAY):
            end = min(begin + 7 * DAY, END + 1)
            times = {}
            for droplet in self.droplets:
                for run in droplet.runs:
                    written += self.write_run(out, droplet, run, (begin, end), times)
                for hypervisor, since, until in droplet.lives():
                    name = f'{INFO}{{droplet="{droplet.name}",hypervisor="{self.host(hypervisor)}"}}'
                    first, last = self.known(since, until, begin, end)
                    ticks = [str(time) for time in range(first, last, SLICE)]
                    written += lines(out, name, 1, ticks)
        out.write(b"# EOF\n")
        return written

    @staticmethod
    def known(since, until, begin=BEGIN, end=END + 1):
        """When the inventory tells a droplet: the first time and the end."""
        first = -(-(max(since, begin) - INVENTORY_OFFSET) // SLICE) * SLICE + INVENTORY_OFFSET
        return first, min(until, end)

    def write_run(self, out, droplet, run, span, times):
        interval, offset = self.scrape(run.hypervisor)
        begin = -(-(span[0] - offset) // interval) * interval + offset
        if run.hypervisor not in times:
            times[run.hypervisor] = [str(time) for time in range(begin, span[1], interval)]
        ticks = times[run.hypervisor]
        skipped = (begin - run.first) // interval
        states = run.states[max(skipped, 0) : max(skipped + len(ticks), 0)]
        if len(states) == 0:
            return 0
        ahead = max(-skipped, 0)
        cuts = [0, *(numpy.flatnonzero(numpy.diff(states)) + 1).tolist(), len(states)]
        name = f'{STATE}{{droplet="{droplet.name}",hypervisor="{self.host(run.hypervisor)}"}}'
        written = 0
        for since, until in zip(cuts, cuts[1:]):
            if states[since] != MISSING:
                written += lines(out, name, states[since], ticks[ahead + since : ahead + until])
        return written

    def ends(self):
        """Series of states that ended, and when the next scrape found that: labels and time."""
        for droplet in self.droplets:
            for run in droplet.runs:
                interval, _ = self.scrape(run.hypervisor)
                after = run.first + len(run.states) * interval
                if after <= END:
                    labels = {"__name__": STATE, "droplet": droplet.name, "hypervisor": self.host(run.hypervisor)}
                    yield labels, after

    def truth(self, droplet):
        """Slices of a droplet: which are counted, which of them are bad, and on which hypervisor they are."""
        n = (END - BEGIN) // SLICE + 1
        number = lambda times: (times - 1) // SLICE - (BEGIN - 1) // SLICE
        seen, good, counted = (numpy.zeros(n, dtype=numpy.int64) for _ in range(3))
        for run in droplet.runs:
            interval, _ = self.scrape(run.hypervisor)
            slices = number(run.first + interval * numpy.arange(len(run.states)))
            for of, states in [
                (seen, run.states != MISSING),
                (good, numpy.isin(run.states, GOOD)),
                (counted, (run.states != MISSING) & ~numpy.isin(run.states, IGNORED)),
            ]:
                of += numpy.bincount(slices[states], minlength=n)
        hosts = numpy.full(n, MISSING)
        for hypervisor, since, until in droplet.lives():
            hosts[number(numpy.arange(*self.known(since, until), SLICE))] = hypervisor
        lost = (seen == 0) & (hosts != MISSING)
        return lost | (counted > 0), lost | (good < counted), hosts

    def figures(self, kinds):
        """Slices by droplet and month, without those of exclusions of `kinds`: counted, bad, and when it was down."""
        ends = BEGIN + SLICE * numpy.arange((END - BEGIN) // SLICE + 1)
        months = numpy.searchsorted(MONTHS, ends - SLICE, side="right") - 1
        found = {}
        for droplet in self.droplets:
            counted, bad, hosts = self.truth(droplet)
            for away in AWAY:
                if away.kind in kinds:
                    within = (ends > away.begin) & (ends - SLICE < away.until) & (hosts == away.hypervisor)
                    counted &= ~within
                    bad &= ~within
            for month, label in enumerate(LABELS):
                own = months == month
                if (own & counted).any():
                    n_bad = int((own & bad).sum())
                    found[droplet.name, label] = (int((own & counted).sum()), n_bad, spans(ends[own & bad]))
        return found


def spans(ends):
    """Slices, by their ends, as stretches of time."""
    if len(ends) == 0:
        return []
    cuts = [0, *(numpy.flatnonzero(numpy.diff(ends) != SLICE) + 1).tolist(), len(ends)]
    return [(shown(ends[a] - SLICE), shown(ends[b - 1])) for a, b in zip(cuts, cuts[1:])]


def shown(seconds):
    return f"{datetime(1970, 1, 1) + timedelta(seconds=int(seconds)):%Y-%m-%dT%H:%M:%SZ}"


def lines(out, name, value, times):
    if times:
        begin = f"{name} {value} "
        out.write((begin + ("\n" + begin).join(times) + "\n").encode())
    return len(times)
