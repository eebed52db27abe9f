import { cva, type VariantProps } from "class-variance-authority";
import { Slot } from "radix-ui";
import type { ComponentProps } from "react";
import { cn } from "@/lib/utils.ts";

const look = cva(
  "inline-flex shrink-0 items-center justify-center gap-1.5 rounded-md font-medium whitespace-nowrap transition-colors " +
    "disabled:cursor-not-allowed disabled:opacity-50 [&_svg]:size-4 [&_svg]:shrink-0",
  {
    variants: {
      variant: {
        primary: "bg-accent text-accent-ink hover:bg-accent/90",
        secondary: "border border-line-strong/50 bg-surface text-ink hover:bg-muted",
        ghost: "text-ink-2 hover:bg-muted hover:text-ink",
        danger: "border border-bad/60 bg-surface text-bad hover:bg-bad-soft",
        link: "text-accent underline-offset-4 hover:underline",
      },
      size: {
        md: "h-8 px-3 text-[13px]",
        sm: "h-7 px-2 text-xs",
        lg: "h-10 px-4 text-sm",
        icon: "size-8",
        inline: "h-auto",
      },
    },
    defaultVariants: { variant: "secondary", size: "md" },
  },
);

interface Props extends ComponentProps<"button">, VariantProps<typeof look> {
  asChild?: boolean;
  /** Something that was asked for is under way; the button says so and cannot be pressed. */
  busy?: string | false | undefined;
}

export function Button(
  { className, variant, size, asChild = false, busy = false, disabled, children, ...rest }: Props,
) {
  const classes = cn(look({ variant, size }), className);
  if (asChild) return <Slot.Root className={classes} {...rest}>{children}</Slot.Root>;
  return (
    <button type="button" className={classes} disabled={disabled || busy !== false} {...rest}>
      {busy === false ? children : busy}
    </button>
  );
}
