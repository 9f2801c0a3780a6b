"""A bar chart as SVG, drawn by hand: CPU per request of each gateway, median with a line from the lowest to the highest round."""

from xml.sax.saxutils import escape

WIDTH, BAR, GAP, TOP = 520, 26, 14, 56
CHARACTER = 7.2  # of the labels, in pixels
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 } .note { font-size: 12px; fill: #59636e }
  .bar { fill: #8c959f } .subject { fill: #0969da } .user { fill: #000; opacity: .22 } .spread { stroke: #1f2328; stroke-width: 1.5 } .axis { stroke: #d1d9e0 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .note { fill: #9198a1 } .bar { fill: #656c76 } .subject { fill: #4493f8 } .spread { stroke: #f0f6fc } .axis { stroke: #3d444d }
  }
"""


def _step(most):
    """A round distance between grid lines, for four to eight of them."""
    step = 1
    while most / step > 8:
        step *= 2 if str(step)[0] != "2" else 2.5
    return int(step)


def bars(result, subject):
    """The whole SVG document."""
    rows = sorted(result["summary"].items(), key=lambda row: row[1]["cpu_us"]["median"])
    most = max(row["cpu_us"]["max"] for _, row in rows) * 1.08
    scale = WIDTH / most
    labels = {gateway: f"{gateway} {result['versions'].get(gateway, '')}".strip() for gateway, _ in rows}
    left = max(150, int(max(map(len, labels.values())) * CHARACTER) + 16)
    height = TOP + len(rows) * (BAR + GAP) + 44
    bottom = height - 40
    title = f"CPU per {result['unit']}, µs: {result['title']}"
    note = f"median of {result['parameters']['rounds']} rounds, line: lowest to highest, dark: in user space; {result['machine']['cpu']}, {result['started_at'][:10]}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + WIDTH + 70} {height}" role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="12" y="24">{escape(title)}</text>',
        f'<text class="note" x="12" y="42">{escape(note)}</text>',
    ]
    for value in range(0, int(most) + 1, _step(most)):
        x = left + value * scale
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{bottom}"/>')
        parts.append(f'<text class="note" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{value}</text>')
    for number, (gateway, row) in enumerate(rows):
        parts += _bar(labels[gateway], row, left, TOP + number * (BAR + GAP) + GAP / 2, scale, gateway == subject)
    return "\n".join([*parts, "</svg>\n"])


def _bar(label, row, left, y, scale, is_subject):
    cpu, middle = row["cpu_us"], y + BAR / 2
    low, high = left + cpu["min"] * scale, left + cpu["max"] * scale
    yield f'<text x="{left - 8}" y="{middle + 4}" text-anchor="end">{escape(label)}</text>'
    yield f'<rect class="bar{" subject" if is_subject else ""}" x="{left}" y="{y}" width="{cpu["median"] * scale:.1f}" height="{BAR}" rx="2"/>'
    yield f'<rect class="user" x="{left}" y="{y}" width="{row["user_us"]["median"] * scale:.1f}" height="{BAR}" rx="2"/>'
    yield f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
    yield f'<text x="{high + 8:.1f}" y="{middle + 4}">{cpu["median"]:.1f}</text>'
