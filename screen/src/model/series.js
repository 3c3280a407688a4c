// One quantity of one branch: rows of entries at marks, growing. Beyond MOST rows it is thinned by
// halves, so that an hour of blocks holds no more memory than a minute; the ends of single curves'
// peaks are kept.

const MOST = 8192;

export class Series {
  constructor(width, every = 1) {
    this.width = width;
    this.every = every;
    this.count = 0;
    this.thinned = false;
    this.entries = null; // which entries were sent, where there are more
    this.marks = new Int32Array(256);
    this.values = new Float32Array(256 * width);
  }

  append(first, every, count, rows, at = null) {
    let from = 0;
    const last = this.count ? this.marks[this.count - 1] : -1;
    const mark = (i) => (at ? at[i] : first + i * every);
    while (from < count && mark(from) <= last) from++;
    const more = count - from;
    if (more <= 0) return;
    this.room(this.count + more);
    for (let i = 0; i < more; i++) this.marks[this.count + i] = mark(from + i);
    this.values.set(rows.subarray(from * this.width, count * this.width), this.count * this.width);
    this.count += more;
    if (this.count > MOST) this.halve();
  }

  room(count) {
    if (count <= this.marks.length) return;
    const size = Math.max(count, 2 * this.marks.length);
    const marks = new Int32Array(size), values = new Float32Array(size * this.width);
    marks.set(this.marks.subarray(0, this.count));
    values.set(this.values.subarray(0, this.count * this.width));
    this.marks = marks;
    this.values = values;
  }

  halve() {
    const { width, values } = this;
    const kept = [0];
    for (let at = 1; at < this.count - 1; at += 4) {
      const end = Math.min(at + 4, this.count - 1);
      if (width > 1) {
        for (let i = at; i < end; i += 2) kept.push(i);
        continue;
      }
      let low = at, high = at;
      for (let i = at; i < end; i++) {
        if (values[i] < values[low]) low = i;
        if (values[i] > values[high]) high = i;
      }
      kept.push(...new Set([Math.min(low, high), Math.max(low, high)]));
    }
    kept.push(this.count - 1);
    kept.forEach((from, to) => {
      this.marks[to] = this.marks[from];
      values.copyWithin(to * width, from * width, (from + 1) * width);
    });
    this.count = kept.length;
    this.thinned = true;
  }

  // The row at or before a mark, -1 before the first.
  rowAt(mark) {
    let low = 0, high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.marks[middle] <= mark) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

// The entries that move most, in their own order.
export function movingMost(series, most = 6) {
  if (series.width <= most) return Array.from({ length: series.width }, (_, i) => i);
  const reach = [];
  const stride = Math.max(1, Math.floor(series.count / 128));
  for (let entry = 0; entry < series.width; entry++) {
    let low = Infinity, high = -Infinity;
    for (let row = 0; row < series.count; row += stride) {
      const value = series.values[row * series.width + entry];
      if (value < low) low = value;
      if (value > high) high = value;
    }
    reach.push([high - low || 0, entry]);
  }
  reach.sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  return reach.slice(0, most).map((one) => one[1]).sort((a, b) => a - b);
}
