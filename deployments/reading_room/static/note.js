// A note that reaches the server while it is written: a second after the last key, and at the end.
const boxes = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const box = parentElement.querySelector("textarea"), label = parentElement.querySelector("label");
  let kept = boxes.get(box);
  if (!kept) {
    kept = { id: null, timer: 0, sent: "" };
    boxes.set(box, kept);
    box.id = "note";
    label.htmlFor = "note";
    const send = () => {
      clearTimeout(kept.timer);
      if (box.value === kept.sent) return;
      kept.sent = box.value;
      kept.tell("note", { id: kept.id, text: box.value });
    };
    box.addEventListener("input", () => { clearTimeout(kept.timer); kept.timer = setTimeout(send, 1000); });
    box.addEventListener("blur", send);
    addEventListener("pagehide", send);
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") box.blur();
      event.stopPropagation(); // a digit here is no answer
    });
  }
  kept.tell = setStateValue;
  label.textContent = data.label;
  box.maxLength = data.most;
  if (kept.id !== data.id) {
    clearTimeout(kept.timer);
    Object.assign(kept, { id: data.id, sent: data.text });
    box.value = data.text;
  }
}
