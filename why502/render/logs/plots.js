// Draws the plots of the page from the JSON in #data; again when the width or the colour scheme changes.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const palette = { light: ["#b3141c", "#c77700", "#6f42c1", "#0a6cbd", "#1a7f37", "#8a6d3b", "#6b7280"], dark: ["#ff7b72", "#e3b341", "#bc8cff", "#58a6ff", "#56d364", "#d2a679", "#9aa4b0"] };
  const colour = (at) => palette[dark.matches ? "dark" : "light"][at % 7];
  const ink = () => (dark.matches ? "#9aa4b0" : "#5c6570");
  const rule = () => (dark.matches ? "#33373d" : "#dcdfe3");
  let drawn = [];

  const axis = (more) => ({ stroke: ink, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1 }, ...more });
  const draw = (id, options, columns) => {
    const place = document.getElementById(id);
    if (!place) return;
    const size = { width: Math.max(place.clientWidth - 16, 240), height: Math.min(320, Math.max(220, innerHeight * 0.4)) };
    drawn.push([place, new uPlot({ ...size, ...options }, columns, place)]);
  };

  const clock = (_, splits) => splits.map((at, i) => {
    const text = new Date(at * 1000).toISOString();
    return text.slice(11, 16) + (i === 0 || text.slice(11, 16) === "00:00" ? "\n" + text.slice(0, 10) : "");
  });
  const overTime = () => {
    const { at, causes, bursts } = data.time;
    const stacked = [];
    causes.forEach((cause, i) => stacked.push(cause.counts.map((count, j) => count + (i ? stacked[i - 1][j] : 0))));
    const order = causes.map((_, i) => i).reverse(); // the whole sum lies behind its parts
    const bars = uPlot.paths.bars({ size: [1, Infinity], gap: 0 });
    draw("time", {
      scales: { y: { range: (_, __, most) => [0, Math.max(most, 1) * 1.05] } },
      axes: [axis({ values: clock }), axis({ size: 60, values: (_, values) => values.map((value) => (value % 1 ? "" : value)) })],
      series: [
        { value: (_, value) => (value == null ? "" : new Date(value * 1000).toISOString().slice(0, 16).replace("T", " ") + "Z") },
        ...order.map((i) => ({
          label: causes[i].name, fill: () => colour(i), width: 0, paths: bars, points: { show: false },
          value: (_, __, ___, at) => (at == null ? "" : causes[i].counts[at]),
        })),
      ],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
      hooks: {
        drawClear: [(plot) => {
          const pen = plot.ctx;
          pen.fillStyle = dark.matches ? "rgba(227,179,65,.16)" : "rgba(199,119,0,.14)";
          for (const [from, to] of bursts) {
            const left = plot.valToPos(from, "x", true), right = plot.valToPos(to, "x", true);
            pen.fillRect(left, plot.bbox.top, Math.max(right - left, 3), plot.bbox.height);
          }
        }],
      },
    }, [at, ...order.map((i) => stacked[i])]);
  };

  const names = (rows) => {
    const short = (name) => (name.length > 22 ? "…" + name.slice(-21) : name);
    return axis({
      splits: () => rows.map((_, i) => i), rotate: rows.length > 3 || innerWidth < 700 ? -45 : 0, size: rows.length > 3 || innerWidth < 700 ? 110 : 40,
      values: (_, splits) => splits.map((at) => (rows[at] ? short(rows[at].name) : "")), grid: { show: false },
    });
  };
  const wide = (rows) => ({ time: false, range: [-0.6, rows.length - 0.4] });
  const named = (rows) => ({ label: "target", value: (_, at) => (rows[at] ? rows[at].name : "") });

  const targets = () => {
    const rows = data.targets;
    draw("targets", {
      scales: { x: wide(rows), y: { range: (_, __, most) => [0, (most || 1) * 1.1] } },
      axes: [names(rows), axis({ size: 60, values: (_, values) => values.map((value) => +value.toFixed(3) + " %") })],
      series: [
        named(rows),
        {
          label: "failed attempts", stroke: () => colour(0), width: 0, points: { show: false },
          fill: () => colour(0), paths: uPlot.paths.bars({ size: [0.6, 60] }), value: (_, value) => (value == null ? "" : value.toFixed(2) + " %"),
        },
        {
          label: "recovered by a retry", stroke: () => colour(3), width: 0, points: { show: false },
          fill: () => colour(3), paths: uPlot.paths.bars({ size: [0.6, 60] }), value: (_, value) => (value == null ? "" : value.toFixed(2) + " %"),
        },
      ],
    }, [rows.map((_, i) => i), rows.map((row) => row.failed), rows.map((row) => row.recovered)]);
  };

  const latency = () => {
    const rows = data.targets.filter((row) => row.times);
    const dots = (label, at) => ({ label, stroke: () => colour(at), fill: () => colour(at), paths: () => null, points: { show: true, size: 9, fill: () => colour(at) }, value: (_, value) => (value == null ? "" : value + " s") });
    const limit = (label, at) => ({ label, stroke: () => colour(at), width: 2, dash: [8, 4], points: { show: true, size: 11 }, value: (_, value, __, at) => (at == null ? "" : value == null ? "unknown" : value + " s") });
    const least = 0.001, longest = rows.some((row) => row.longest != null);
    const column = (key) => rows.map((row) => (row.times[key] == null ? null : Math.max(row.times[key], least)));
    draw("latency", {
      scales: { x: wide(rows), y: { distr: 3, range: (_, low, high) => [Math.max(low / 2, least / 2), high * 2] } },
      axes: [names(rows), axis({ size: 60, filter: (_, splits) => splits.map((value) => (Number.isInteger(Math.log10(+value.toPrecision(3))) ? value : null)), values: (_, values) => values.map((value) => (value == null ? "" : +value.toPrecision(2) + " s")) })],
      series: [named(rows), limit("read timeout", 0), ...(longest ? [limit("the longest", 6)] : []), dots("p50", 4), dots("p95", 3), dots("p99", 1), dots("max", 2)],
    }, [rows.map((_, i) => i), rows.map((row) => row.timeout), ...(longest ? [rows.map((row) => row.longest)] : []), column("p50"), column("p95"), column("p99"), column("max")]);
  };

  const all = () => {
    drawn.forEach(([, plot]) => plot.destroy());
    drawn = [];
    overTime();
    if (data.targets.length) targets();
    if (data.targets.some((row) => row.times)) latency();
    document.body.dataset.drawn = drawn.length;
  };
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; all(); } });
  dark.addEventListener("change", all);
  all();
})();
