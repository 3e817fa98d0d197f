// Leaves the page when the session is over. Asking does not keep the session; a key, a click or a
// turn of the wheel does, also one of which the server hears nothing else.
export default function () {
  let last = 0;
  const hear = () => {
    if (Date.now() - last < 30000) return;
    last = Date.now();
    fetch("/session", { method: "POST", cache: "no-store" }).catch(() => null);
  };
  const kinds = ["keydown", "pointerdown", "wheel"];
  for (const kind of kinds) document.addEventListener(kind, hear, { capture: true, passive: true });
  const look = async () => {
    const answer = await fetch("/session", { cache: "no-store" }).catch(() => null);
    if (answer && answer.status === 401)
      location.assign(`/sign-in?to=${encodeURIComponent(location.pathname + location.search)}`);
  };
  const timer = setInterval(look, 5000);
  return () => {
    clearInterval(timer);
    for (const kind of kinds) document.removeEventListener(kind, hear, { capture: true });
  };
}
