# SPDX-License-Identifier: GPL-2.0
"""Draws curves as an SVG picture."""

import math

COLOURS = ["#888888", "#000000", "#e0a000", "#c06000", "#c00060", "#8040c0",
           "#0060c0", "#40a040", "#00a0a0"]
WIDTH, HEIGHT, LEFT, TOP = 760, 420, 70, 20
INNER_W, INNER_H = WIDTH - LEFT - 210, HEIGHT - TOP - 50


class Axis:
    """Where a value is, from 0 to 1: by its logarithm, or linear from 0."""

    def __init__(self, values, log):
        self.log = log
        self.low, self.high = min(values) if log else 0, max(values)

    def place(self, value):
        if not self.log:
            return value / self.high if self.high else 0
        if self.high == self.low:
            return 0
        return math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self):
        if not self.log:
            return [self.high * i / 4 for i in range(5)]
        tick, ticks = 10 ** math.ceil(math.log10(self.low)), []
        while tick <= self.high:
            ticks.append(tick)
            tick *= 10
        return ticks


def draw(curves, x_title, y_title, log_x=True, log_y=True):
    """Return the picture of [(label, [(x, y), ...]), ...]."""
    points = [point for _, curve in curves for point in curve]
    x_axis = Axis([x for x, _ in points], log_x)
    y_axis = Axis([y for _, y in points], log_y)

    def place(x, y):
        return (LEFT + INNER_W * x_axis.place(x),
                TOP + INNER_H * (1 - y_axis.place(y)))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
           f'height="{HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for n in sorted({x for x, _ in points}):
        x, y = place(n, y_axis.low)
        out.append(f'<line x1="{x:.0f}" y1="{TOP}" x2="{x:.0f}" y2="{y:.0f}" '
                   'stroke="#ddd"/>'
                   f'<text x="{x:.0f}" y="{y + 16:.0f}" '
                   f'text-anchor="middle">{n}</text>')
    for tick in y_axis.ticks():
        x, y = place(x_axis.low, tick)
        out.append(f'<line x1="{x:.0f}" y1="{y:.0f}" x2="{LEFT + INNER_W}" '
                   f'y2="{y:.0f}" stroke="#ddd"/>'
                   f'<text x="{x - 6:.0f}" y="{y + 4:.0f}" '
                   f'text-anchor="end">{tick:g}</text>')
    for i, (label, curve) in enumerate(curves):
        line = " ".join("{:.1f},{:.1f}".format(*place(*p)) for p in curve)
        y = TOP + 12 + 18 * i
        out.append(f'<polyline points="{line}" fill="none" stroke-width="2" '
                   f'stroke="{COLOURS[i]}"/>'
                   f'<text x="{LEFT + INNER_W + 16}" y="{y}" '
                   f'fill="{COLOURS[i]}">{label}</text>')
    out.append(f'<text x="{LEFT + INNER_W / 2:.0f}" y="{HEIGHT - 8}" '
               f'text-anchor="middle">{x_title}</text>'
               f'<text x="14" y="{TOP + INNER_H / 2:.0f}" text-anchor="middle" '
               f'transform="rotate(-90 14 {TOP + INNER_H / 2:.0f})">'
               f'{y_title}</text></svg>')
    return "\n".join(out) + "\n"
