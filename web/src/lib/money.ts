const whole = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 0 });
const cents = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });

/** A price in US dollars; cents only where there are some. */
export function perMonth(usd: number): string {
  return (Number.isInteger(usd) ? whole : cents).format(usd);
}
