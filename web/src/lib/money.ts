const whole = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 0 });
const cents = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });

const small = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumSignificantDigits: 3 });

/** A price in US dollars an hour. */
export function perHour(usd: number): string {
  return small.format(usd);
}

/** A price in US dollars; cents only where there are some. */
export function perMonth(usd: number): string {
  return (Number.isInteger(usd) ? whole : cents).format(usd);
}
