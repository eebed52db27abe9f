//! Enums whose values have one stable spelling in the database and on the wire.

/// A text that names none of the enum's values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} {value:?}")]
pub struct UnknownName {
    /// What was expected, such as `instance status`.
    pub kind: &'static str,
    /// What was given.
    pub value: String,
}

/// Defines a field-less enum with `ALL`, `as_str`, `Display` and `FromStr` over the same spelling.
macro_rules! string_enum {
    (
        $(#[$doc:meta])*
        pub enum $name:ident as $kind:literal {
            $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable spelling.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err($crate::UnknownName { kind: $kind, value: text.to_owned() }),
                }
            }
        }
    };
}

pub(crate) use string_enum;
