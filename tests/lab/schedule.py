"""Who of several programs that call one simulated API goes next, drawn by chance."""

import random
import threading
import time


class Schedule:
    """Every request waits for its turn; callers are told apart by their tokens. `before(step)` is called
    before each turn. A caller that sends nothing for a moment (it sleeps, or has ended) is not waited for."""

    MOMENT = 0.02

    def __init__(self, api, seed, callers, before=lambda step: None):
        self.api, self.random, self.callers, self.before = api, random.Random(seed), callers, before
        self.changed, self.waiting, self.known, self.done = threading.Condition(), {}, {}, False

    def __enter__(self):
        self.api.fault(".", self.turn, times=10**9)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.api.faults.clear()
        with self.changed:
            self.done = True
            for turn in self.waiting.values():
                turn.set()
            self.changed.notify()
        self.thread.join()

    def turn(self, request):
        token = request.headers.get("authorization")
        if token:
            mine = threading.Event()
            with self.changed:
                caller = self.known.setdefault(token, len(self.known))
                if not self.done:
                    self.waiting[caller] = mine
                    self.changed.notify()
                else:
                    mine.set()
            mine.wait(10)
        return self.api.handle(request)

    def run(self):
        step = 0
        while not self.done:
            end = time.monotonic() + self.MOMENT
            with self.changed:
                while len(self.waiting) < self.callers and time.monotonic() < end:
                    self.changed.wait(self.MOMENT)
                if not self.waiting:
                    continue
                chosen = self.waiting.pop(self.random.choice(sorted(self.waiting)))
            self.before(step)
            chosen.set()
            step += 1
