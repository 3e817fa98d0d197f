// A file that is made in the page: it lies at no address that somebody else could open.
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button");
  button.textContent = data.label;
  button.onclick = () => {
    const address = URL.createObjectURL(new Blob([data.content], { type: data.type }));
    const link = Object.assign(document.createElement("a"), { href: address, download: data.name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  };
}
