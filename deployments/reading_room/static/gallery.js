// Small pictures, each with a title and lines below it; a click says which. Texts are never markup.
export default function ({ data, parentElement, setTriggerValue }) {
  const list = parentElement.querySelector("ul");
  list.setAttribute("aria-label", data.label);
  list.replaceChildren(...data.cells.map((cell) => {
    const item = document.createElement("li");
    const box = document.createElement(data.opens ? "button" : "div");
    if (data.opens) {
      box.type = "button";
      box.addEventListener("click", () => setTriggerValue("opened", cell.id));
    } else box.className = "cell";
    const picture = document.createElement("img");
    picture.alt = cell.alt;
    picture.src = cell.image || "data:,";
    const title = document.createElement("strong");
    title.textContent = cell.title;
    const lines = cell.lines.map((line) => Object.assign(document.createElement("span"), { textContent: line }));
    box.append(picture, title, ...lines);
    item.append(box);
    return item;
  }));
}
