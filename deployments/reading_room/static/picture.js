// A picture that is zoomed, panned, windowed and overlaid in the browser alone: nothing is asked of
// the server while somebody looks. Called again at every run; what is bound once is kept in `views`.
const views = new WeakMap();
const MOST = 16;

export default function ({ data, parentElement }) {
  const find = (query) => parentElement.querySelector(query);
  const stage = find(".stage");
  const view = views.get(stage) ?? bound(parentElement, stage);
  view.update(data);
}

function bound(root, stage) {
  const find = (query) => root.querySelector(query);
  const every = (query) => [...root.querySelectorAll(query)];
  const [heat, level, width, which] = [".heat", ".level", ".window", ".which"].map(find);
  const view = { zoom: 1, x: 0, y: 0, id: null, words: {}, hidden: false, remembered: 50, overlays: [] };

  const show = () => {
    for (const layers of every(".layers"))
      layers.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
    const slope = 100 / width.value, middle = level.value / 100;
    for (const each of every("feFuncR, feFuncG, feFuncB")) {
      each.setAttribute("slope", slope);
      each.setAttribute("intercept", 0.5 - slope * middle);
    }
    const beside = find(".beside"), share = view.hidden ? 0 : heat.value / 100;
    const isApart = !beside.hidden;
    find(".stage:not(.beside) .over").style.opacity = isApart ? 0 : share;
    find(".beside .over").style.opacity = isApart ? Math.max(share, view.overlays.length ? 1 : 0) : 0;
    find("output").textContent = view.hidden ? view.words.off : `${heat.value} %`;
  };
  const zoom = (factor, px = 0, py = 0) => {
    const next = Math.min(MOST, Math.max(1, view.zoom * factor)), ratio = next / view.zoom;
    view.x = px - (px - view.x) * ratio;
    view.y = py - (py - view.y) * ratio;
    view.zoom = next;
    if (next === 1) view.x = view.y = 0;
    show();
  };
  const does = {
    in: () => zoom(1.25),
    out: () => zoom(0.8),
    fit: () => { view.zoom = 1; view.x = view.y = 0; show(); },
    plain: () => { level.value = 50; width.value = 100; show(); },
    beside: () => {
      const beside = find(".beside");
      beside.hidden = !beside.hidden;
      find('[data-do="beside"]').setAttribute("aria-pressed", String(!beside.hidden));
      show();
    },
    overlay: () => {
      if (!view.overlays.length) return;
      if (+heat.value === 0) { heat.value = view.remembered; view.hidden = false; } else view.hidden = !view.hidden;
      show();
    },
  };
  const pan = (dx, dy) => { view.x += dx; view.y += dy; show(); };
  const keys = {
    "+": does.in, "=": does.in, "-": does.out, f: does.fit, o: does.overlay, s: does.beside, p: does.plain,
    ArrowLeft: () => pan(30, 0), ArrowRight: () => pan(-30, 0), ArrowUp: () => pan(0, 30), ArrowDown: () => pan(0, -30),
  };
  stage.addEventListener("keydown", (event) => {
    const act = keys[event.key] ?? keys[event.key.toLowerCase()];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
  for (const each of every(".stage")) {
    let drag = null;
    each.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = each.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2);
    }, { passive: false });
    each.addEventListener("pointerdown", (event) => {
      each.setPointerCapture(event.pointerId);
      drag = [event.clientX, event.clientY];
    });
    each.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const dx = event.clientX - drag[0], dy = event.clientY - drag[1];
      drag = [event.clientX, event.clientY];
      if (event.shiftKey) { // as radiologists do it: up and down is brightness, left and right contrast
        level.value = +level.value + dy / 4;
        width.value = +width.value + dx / 2;
        show();
      } else pan(dx, dy);
    });
    for (const end of ["pointerup", "pointercancel"]) each.addEventListener(end, () => { drag = null; });
  }
  for (const each of [level, width]) each.addEventListener("input", show);
  heat.addEventListener("input", () => { view.hidden = false; if (+heat.value) view.remembered = heat.value; show(); });
  which.addEventListener("change", () => { lay(); show(); });
  for (const button of every("button")) button.addEventListener("click", () => does[button.dataset.do]());

  const lay = () => {
    const chosen = view.overlays[+which.value || 0];
    for (const over of every(".over")) over.src = chosen ? chosen.src : "data:,";
  };
  view.update = (data) => {
    view.words = data.words;
    stage.setAttribute("aria-label", data.words.stage);
    for (const button of every("button")) {
      button.textContent = data.words[`${button.dataset.do}_sign`];
      button.setAttribute("aria-label", data.words[button.dataset.do]);
      button.title = data.words[button.dataset.do];
    }
    for (const name of ["level", "window", "which", "heat"]) find(`.${name}-word`).textContent = data.words[name];
    if (view.id !== data.id) {
      Object.assign(view, { id: data.id, zoom: 1, x: 0, y: 0, hidden: false });
      heat.value = 0; level.value = 50; width.value = 100;
      for (const base of every(".base")) base.src = data.image;
      find(".stage:not(.beside) .base").alt = data.alt;
    }
    view.overlays = data.overlays;
    const names = data.overlays.map((each) => each.label).join("\n");
    if (view.names !== names) {
      view.names = names;
      which.replaceChildren(...data.overlays.map((each, number) => new Option(each.label, number)));
    }
    find(".overlays").hidden = !data.overlays.length;
    lay();
    show();
  };
  views.set(stage, view);
  return view;
}
