// <time datetime="…" title="…">: adds the reader's own time to the exact one that the server wrote, on hover.
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

export function times(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime()) || time.dataset.local) continue;
    time.dataset.local = "yes";
    time.title = `${time.title}\n${local.format(at)}`;
  }
}
