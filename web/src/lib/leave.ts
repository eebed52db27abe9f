/** What would run in this page, or lead into files, instead of leaving it. */
const STAYS = /^(javascript|data|vbscript|blob|file|filesystem|about|view-source):/i;

/** Whether the browser may be sent there: any site, and any application by a scheme of its own. */
export function mayLeaveTo(address: string): boolean {
  return URL.canParse(address) && !STAYS.test(new URL(address).protocol);
}

/** Who gets what an address is sent: a site, this computer, or an application. */
export function whoIsAt(address: string): string {
  if (!URL.canParse(address)) return "an address that cannot be read";
  const { protocol, host, hostname } = new URL(address);
  if (protocol !== "https:" && protocol !== "http:") return `the application for ${protocol}`;
  const isHere = hostname === "localhost" || hostname === "[::1]" || /^127\./.test(hostname);
  return isHere ? `a program on this computer (${host})` : host;
}
