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
  const view = { zoom: 1, x: 0, y: 0, id: null, words: {}, hidden: false, remembered: 50, overlays: [], level: 50, width: 100 };

  const show = () => {
    for (const layers of every(".layers"))
      layers.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
    const slope = 100 / width.value, middle = level.value / 100;
    for (const each of every("feFuncR, feFuncG, feFuncB")) {
      each.setAttribute("slope", slope);
      each.setAttribute("intercept", 0.5 - slope * middle);
    }
    const beside = find(".beside"), share = view.hidden ? 0 : heat.value / 100;
    find(".stage:not(.beside) .over").style.opacity = beside.hidden ? share : 0;
    find(".beside .over").style.opacity = beside.hidden ? 0 : share;
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
    plain: () => { level.value = view.level = 50; width.value = view.width = 100; show(); },
    beside: () => {
      const beside = find(".beside");
      if (!view.overlays.length) return;
      beside.hidden = !beside.hidden;
      if (!beside.hidden && +heat.value === 0) heat.value = 100;
      find('[data-do="beside"]').setAttribute("aria-pressed", String(!beside.hidden));
      show();
    },
    overlay: () => {
      if (!view.overlays.length) return;
      if (+heat.value === 0) { heat.value = view.remembered; view.hidden = false; } else view.hidden = !view.hidden;
      show();
    },
  };
  const pan = (dx, dy) => { // a part of it always stays in sight
    const { width: across, height: down } = stage.getBoundingClientRect();
    const bound = (value, side) => Math.min(Math.max(value, -0.45 * side * view.zoom), 0.45 * side * view.zoom);
    view.x = bound(view.x + dx, across);
    view.y = bound(view.y + dy, down);
    show();
  };
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
        view.level = Math.min(100, Math.max(0, view.level + dy / 4));
        view.width = Math.min(200, Math.max(2, view.width + dx / 2));
        level.value = view.level;
        width.value = view.width;
        show();
      } else pan(dx, dy);
    });
    for (const end of ["pointerup", "pointercancel"]) each.addEventListener(end, () => { drag = null; });
  }
  for (const each of [level, width, heat]) {
    each.addEventListener("input", () => { view.level = +level.value; view.width = +width.value; show(); });
    // So that the page's own keys work again: in a slider they would not.
    each.addEventListener("pointerup", () => stage.focus({ preventScroll: true }));
  }
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
      Object.assign(view, { id: data.id, zoom: 1, x: 0, y: 0, hidden: false, level: 50, width: 100 });
      find(".beside").hidden = true;
      find('[data-do="beside"]').setAttribute("aria-pressed", "false");
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
    find(".overlays").hidden = find('[data-do="beside"]').hidden = !data.overlays.length;
    lay();
    show();
  };
  views.set(stage, view);
  return view;
}
