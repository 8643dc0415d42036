// Draws the graphs of the screen Metrics, and draws them anew while the page is open.
(() => {
  const charts = document.querySelector('[data-charts]');
  if (charts === null) {
    return;
  }
  const HEIGHT = 240;
  const AGAIN_MS = 60_000;
  const LIMIT_MS = 15_000;
  const rate = (name) => (columns) => columns[name].map((value, index) => value / columns.seconds[index]);
  const milliseconds = (name) => (columns) => columns[name].map((value) => value && value * 1_000);

  const count = (value) => (value >= 1_000 ? `${+(value / 1_000).toFixed(1)}k` : `${+value.toFixed(2)}`);
  const bytes = (value) => {
    const units = ['B', 'KB', 'MB', 'GB', 'TB'];
    let unit = 0;
    let rest = value;
    while (rest >= 1_024 && unit < units.length - 1) {
      rest /= 1_024;
      unit += 1;
    }
    return `${+rest.toFixed(1)} ${units[unit]}`;
  };
  const time = (value) => `${+value.toFixed(1)} ms`;

  // Each line: its name, its colour, and its values.
  const KINDS = {
    requests: {
      text: count,
      lines: [
        ['Reads', '--series-1', rate('reads')],
        ['Writes', '--series-2', rate('writes')],
        ['Leases', '--series-3', rate('leases')],
        ['Watches', '--series-4', rate('watches')],
        ['Others', '--soft', rate('others')],
        ['Errors', '--bad', rate('errors'), [6, 4]],
      ],
    },
    latency: {
      text: time,
      lines: [
        ['p50', '--series-1', milliseconds('p50_seconds')],
        ['p99', '--series-2', milliseconds('p99_seconds')],
      ],
    },
    stored: {
      text: bytes,
      base: 1_024,
      lines: [
        ['Stored', '--series-1', (columns) => columns.stored_bytes],
        ['Quota', '--bad', (columns, quota) => columns.time.map(() => quota), [6, 4]],
      ],
    },
    connections: {
      text: count,
      lines: [['Connections', '--series-1', (columns) => columns.connections]],
    },
  };
  // Steps of an axis in whole parts of a KB, MB and so on.
  const POWERS_OF_TWO = Array.from({ length: 50 }, (_, power) => 2 ** power);

  let drawn = [];
  let latest;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const draw = () => {
    for (const plot of drawn) {
      plot.destroy();
    }
    drawn = [];
    const { columns, quota_bytes: quota } = latest;
    const times = columns.time.map((time) => Date.parse(time) / 1_000);
    for (const box of charts.querySelectorAll('[data-chart]')) {
      const { text, base, lines } = KINDS[box.dataset.chart];
      const shown = lines.map(([, , values]) => values(columns, quota));
      box.replaceChildren();
      box.setAttribute('role', 'img');
      box.setAttribute(
        'aria-label',
        `${lines.map(([name]) => name).join(', ')}: as figures in the table below`,
      );
      if (shown[0].every((value) => value === null)) {
        const nothing = document.createElement('p');
        nothing.className = 'empty';
        nothing.textContent = 'Nothing was counted in this time.';
        box.append(nothing);
        continue;
      }
      const axis = {
        stroke: colour('--soft'),
        grid: { stroke: colour('--line'), width: 1 },
        ticks: { stroke: colour('--line'), width: 1 },
      };
      const options = {
        width: box.clientWidth,
        height: HEIGHT,
        cursor: { sync: { key: 'metrics' }, drag: { x: false, y: false } },
        scales: { y: { range: (_plot, _low, high) => [0, Math.max(high * 1.1, 1)] } },
        axes: [
          axis,
          {
            ...axis,
            size: 72,
            values: (_plot, values) => values.map(text),
            ...(base === undefined ? {} : { incrs: POWERS_OF_TWO }),
          },
        ],
        series: [
          { value: '{YYYY}-{MM}-{DD} {HH}:{mm}' },
          ...lines.map(([label, stroke, , dash]) => ({
            label,
            stroke: colour(stroke),
            width: 2,
            ...(dash === undefined ? {} : { dash }),
            points: { show: false },
            value: (_plot, value) => (value === null || value === undefined ? '–' : text(value)),
          })),
        ],
      };
      drawn.push(new uPlot(options, [times, ...shown], box));
    }
  };

  const say = (text) => {
    for (const box of charts.querySelectorAll('[data-chart]')) {
      const line = document.createElement('p');
      line.className = 'empty';
      line.textContent = text;
      box.replaceChildren(line);
    }
  };

  const read = async () => {
    const signal = AbortSignal.timeout(LIMIT_MS);
    const response = await fetch(charts.dataset.charts, { signal, redirect: 'error' });
    if (response.status === 401) {
      return 'You are signed out. Load the page again.';
    }
    if (!response.ok) {
      return 'The figures can not be read now.';
    }
    latest = await response.json();
    return undefined;
  };

  const show = async () => {
    const problem = await read().catch(
      () => 'The service broker does not answer. It is asked again in a minute.',
    );
    setTimeout(show, AGAIN_MS);
    // What was drawn before stays.
    if (latest === undefined) {
      say(problem);
    } else if (typeof uPlot !== 'function') {
      say('This browser can not draw the graph. The figures are in the table.');
    } else {
      draw();
    }
  };

  const redraw = () => drawn.length > 0 && draw();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  let width = charts.clientWidth;
  new ResizeObserver(() => {
    if (charts.clientWidth !== width) {
      width = charts.clientWidth;
      redraw();
    }
  }).observe(charts);
  say('Reading the figures …');
  show();
})();
