import { useEffect, useState } from "react";

/** So long nothing more is typed, in milliseconds, until it is searched for. */
const PAUSE = 300;

/** What somebody types, once they pause. */
export function useSettled(typed: string): string {
  const [settled, setSettled] = useState(typed);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(typed), PAUSE);
    return () => clearTimeout(timer);
  }, [typed]);
  return settled;
}
