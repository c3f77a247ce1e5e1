// The chart of Monitoring: records to read and their age over the last hour, read again and again.
(function () {
  "use strict";
  const place = document.getElementById("lag-chart");
  const HEIGHT = 240, EVERY_MS = 5000;
  let chart = null;

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function options(width) {
    const text = colour("--pico-color"), lines = colour("--pico-muted-border-color");
    const axis = { stroke: text, grid: { stroke: lines, width: 1 }, ticks: { stroke: lines } };
    const line = (label, scale, stroke, dash) => ({
      label: label, scale: scale, stroke: stroke, width: 2, dash: dash, spanGaps: false,
      points: { show: false },
    });
    return {
      width: width, height: HEIGHT,
      scales: { records: { range: fromZero }, seconds: { range: fromZero },
        rate: { range: fromZero } },
      axes: [Object.assign({ values: clock }, axis),
        Object.assign({ scale: "records", label: "records", size: 70 }, axis),
        Object.assign({ scale: "rate", label: "records / s", side: 1, size: 60 }, axis)],
      series: [{ label: "UTC", value: (self, at) => at ? clock(self, [at, at + 1])[0] : "" },
        line("to read (records)", "records", colour("--chart-1")),
        line("oldest (s)", "seconds", colour("--chart-2"), [2, 3]),
        line("in / s", "rate", colour("--chart-3"), [8, 4]),
        line("out / s", "rate", colour("--chart-4"), [8, 2, 2, 2])],
    };
  }

  // UTC, as all times of this page; with seconds while the chart is short.
  function clock(self, splits) {
    const shown = splits.length > 1 && splits[1] - splits[0] < 60 ? 19 : 16;
    return splits.map((at) => new Date(at * 1000).toISOString().slice(11, shown));
  }

  function fromZero(self, low, high) {
    return [0, Math.max(1, (high || 0) * 1.1)];
  }

  function show(found) {
    const history = found.history;
    const data = [found.times, history.behind, history.seconds, history.in, history.out];
    if (found.times.length === 0) {
      return;
    }
    if (chart === null) {
      place.replaceChildren();
      chart = new uPlot(options(place.clientWidth), data, place);
      place.dataset.ready = "yes";
    } else {
      chart.setData(data);
    }
  }

  async function read() {
    try {
      const answer = await fetch(place.dataset.source, { headers: { "HX-Request": "true" } });
      if (answer.ok) {
        show(await answer.json());
      }
    } catch (error) {
      // The next reading tries again; the table beside the chart says what is wrong.
    }
    window.setTimeout(read, EVERY_MS);
  }

  function redraw() {
    if (chart !== null) {
      chart.destroy();
      chart = null;
      read();
    }
  }

  if (place !== null) {
    window.addEventListener("resize", () => {
      if (chart !== null) {
        chart.setSize({ width: place.clientWidth, height: HEIGHT });
      }
    });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    read();
  }
})();
