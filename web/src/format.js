/** Numbers as people read them. */

const whole = new Intl.NumberFormat("en-US");

export const count = (number) => whole.format(Math.round(number));

/** Hours to two decimals; minutes below an hour; seconds below a minute. */
export function hours(seconds) {
  const size = Math.abs(seconds);
  if (size >= 3600) {
    return `${(seconds / 3600).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })} h`;
  }
  if (size >= 60) return `${(seconds / 60).toFixed(1)} min`;
  return size ? `${seconds.toFixed(2)} s` : "0 s";
}

export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** A change with its sign; "" for none. */
export function change(difference, format) {
  if (!difference) return "";
  return difference > 0 ? `+${format(difference)}` : format(difference).replace("-", "−");
}

/** A position in seconds as h:mm:ss. */
export function clock(seconds) {
  const at = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  return `${Math.floor(at / 3600)}:${two(Math.floor(at / 60) % 60)}:${two(at % 60)}`;
}

/** A number with four significant digits, without exponent. */
export function short(value) {
  return value === null ? "–" : Number(value.toPrecision(4)).toLocaleString("en-US", { maximumFractionDigits: 6 });
}
