"""How pages look: light, calm, readable on a laptop and on paper."""

# Okabe and Ito (2008): eight colours that are told apart with every kind of colour vision.
PALETTE = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#8a8d91",
    "#f0e442",
)
_COLOURS = "".join(f".c{n} {{background: {colour}}}\n" for n, colour in enumerate(PALETTE))

STYLE = (
    """
:root {color-scheme: light}
* {box-sizing: border-box}
body {margin: 0; background: #f6f7f9; color: #1d2126;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif}
main {max-width: 1080px; margin: 0 auto; padding: 8px 24px 32px}
.notice {margin: 0; max-width: none; padding: 8px 24px; text-align: center; font-weight: 600;
  font-size: 15px;  background: #26333f; color: #fff}
.notice.synthetic {background: #5b4a00}
h1 {font-size: 30px; line-height: 1.2; margin: 28px 0 4px}
h2 {font-size: 21px; line-height: 1.3; margin: 0 0 8px}
h3 {font-size: 17px; margin: 20px 0 6px}
p {margin: 8px 0; max-width: 78ch}
.subtitle, .explanation, figcaption, caption, .label {color: #4b535c}
section, .summary {background: #fff; border: 1px solid #dde1e6; border-radius: 8px;
  padding: 20px 24px; margin: 20px 0}
.summary h2 {margin-bottom: 12px}
.points {list-style: none; margin: 0; padding: 0}
.points li {display: grid; grid-template-columns: 150px 1fr; gap: 12px; padding: 8px 0;
  border-top: 1px solid #eceff2}
.points li:first-child {border-top: 0}
a {color: #0b4f8a}
.chip {display: inline-block; padding: 1px 10px; border-radius: 12px; font-size: 14px;
  font-weight: 600; white-space: nowrap; border: 1px solid; height: fit-content;
  width: fit-content; vertical-align: middle}
.chip.serious {color: #8e1b1b; background: #fdeaea} .chip.look {color: #6d4500; background: #fff3d9}
.chip.fine {color: #17603a; background: #e6f5eb} .chip.unknown {color: #4b535c; background: #eef0f3}
.box {border-left: 4px solid #0b4f8a; background: #eef5fb; padding: 10px 14px; margin: 12px 0}
.says {font-size: 17px}
.scroll {overflow-x: auto}
table {border-collapse: collapse; margin: 14px 0; font-size: 15px}
.scroll table {width: 100%}
caption {text-align: left; padding-bottom: 6px; font-size: 14.5px}
th, td {border-bottom: 1px solid #e3e6ea; padding: 6px 12px 6px 0; text-align: left;
  vertical-align: top}
tbody th {font-weight: 600}
td.number, th.number {text-align: right; font-variant-numeric: tabular-nums}
.bars {width: 100%; table-layout: fixed} .bars th {width: 190px; overflow-wrap: anywhere}
.bars td.wide {width: 46%} td.note {font-size: 13.5px} .bars td.number {width: 74px}
.bars th, .bars td {vertical-align: middle; padding: 4px 12px 4px 0; border-bottom: 0}
.track {position: relative; height: 18px; background: #eceff2; border-radius: 3px;
  overflow: hidden; white-space: nowrap; font-size: 0}
.bar, .cut {display: inline-block; height: 100%}
.bar {background: #6c8fae} .bar.named {background: #b5541c}
.mark {position: absolute; top: 0; bottom: 0; width: 3px; background: #1d2126}
.legend {list-style: none; padding: 0; margin: 4px 0 12px; display: flex; flex-wrap: wrap;
  gap: 4px 18px; font-size: 14.5px}
.swatch {display: inline-block; width: 13px; height: 13px; border-radius: 2px; margin-right: 6px}
.row {margin: 10px 0 16px} .label {margin: 0 0 4px; font-size: 15px}
.strip {display: flex; flex-wrap: wrap; gap: 10px 12px}
figure {margin: 0; break-inside: avoid}
.strip figure {width: 128px}
.strip img {width: 128px; height: 128px; object-fit: contain; background: #101418;
  border-radius: 4px; display: block}
.rows {display: flex; flex-wrap: wrap; gap: 12px 32px}
.rows .row {margin: 0 0 8px} .rows .label {max-width: 548px}
.tight .strip {gap: 8px} .tight .strip figure, .tight .strip img {width: 112px}
.tight .strip img {height: 112px} .tight .label {max-width: 472px}
figcaption {font-size: 13px; line-height: 1.35; margin-top: 3px; overflow-wrap: anywhere}
img.chart {max-width: 100%; height: auto; display: block; margin: 8px 0}
.cards {display: flex; flex-wrap: wrap; gap: 12px; margin: 12px 0; padding: 0; list-style: none}
.cards li {background: #fff; border: 1px solid #dde1e6; border-radius: 8px; padding: 10px 18px}
.cards strong {display: block; font-size: 24px; line-height: 1.25}
.pair {display: grid; grid-template-columns: 1fr 1fr; gap: 0 32px}
code {font: 14px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; background: #eef0f3;
  padding: 1px 5px; border-radius: 3px; overflow-wrap: anywhere}
@media (max-width: 720px) {.pair, .points li {grid-template-columns: 1fr}}
@media print {
  body {background: #fff; font-size: 11pt}
  section, .summary, .cards li {border: 0; padding: 4px 0; margin: 12px 0}
  * {print-color-adjust: exact; -webkit-print-color-adjust: exact}
  h2, .row, tr, .box {break-inside: avoid} h2 {break-after: avoid}
}
"""
    + _COLOURS
)
