// Leaves the page when the session is over. Asking does not keep the session.
export default function () {
  const look = async () => {
    const answer = await fetch("/session", { cache: "no-store" }).catch(() => null);
    if (answer && answer.status === 401)
      location.assign(`/sign-in?to=${encodeURIComponent(location.pathname + location.search)}`);
  };
  const timer = setInterval(look, 5000);
  return () => clearInterval(timer);
}
