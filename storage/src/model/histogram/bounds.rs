//! Bounds of exponential buckets, bit for bit as Prometheus computes them (`getBoundExponential` of
//! `model/histogram/generic.go`): JSON shows all 17 digits of them.

/// Most that each schema divides a power of two: 2^8 buckets.
const SCHEMA_MAX: u32 = 8;

/// 2^(1/2), 2^(1/4), ... 2^(1/256). Prometheus has a table of 256 numbers; they are the products of these
/// eight, the first of them one unit in the last place too low (compared with the table of 3.5.3: all equal).
const ROOTS: [f64; SCHEMA_MAX as usize] = [
    std::f64::consts::SQRT_2.next_down(),
    1.189207115002721,
    1.0905077326652577,
    1.0442737824274138,
    1.0218971486541166,
    1.0108892860517005,
    1.0054299011128027,
    1.0027112750502025,
];

/// 2^(i/256 - 1) for each i.
const FRACTIONS: [f64; 256] = {
    let mut table = [0.5; 256];
    let mut i = 0;
    while i < table.len() {
        let mut bit = 0;
        while bit < ROOTS.len() {
            if i >> (ROOTS.len() - 1 - bit) & 1 == 1 {
                table[i] *= ROOTS[bit];
            }
            bit += 1;
        }
        i += 1;
    }
    table
};

/// Upper bound of the positive bucket `index` of an exponential `schema`, -4 to 8 (others are taken for the
/// nearest of these).
pub(super) fn exponential(index: i32, schema: i32) -> f64 {
    let index = i64::from(index);
    let (fraction, exponent) = match u32::try_from(schema) {
        Ok(schema) => {
            let schema = schema.min(SCHEMA_MAX);
            let step = index & ((1 << schema) - 1);
            let place = usize::try_from(step << (SCHEMA_MAX - schema)).unwrap_or_default();
            (FRACTIONS.get(place).copied().unwrap_or(0.5), (index >> schema) + 1)
        }
        Err(_) => (0.5, (index << (-schema).clamp(0, 4)) + 1),
    };
    // The bucket of the largest finite numbers ends there; the one above it is for infinities.
    if fraction == 0.5 && exponent == 1025 { f64::MAX } else { scale(fraction, exponent) }
}

/// `fraction`, in [0.5, 1), times 2^`exponent`, rounded once.
fn scale(fraction: f64, exponent: i64) -> f64 {
    match exponent {
        ..=-1075 => fraction * power_of_two(-1000) * power_of_two((exponent + 1000).max(-1022)),
        -1074..=-1022 => fraction * power_of_two(exponent + 64) * power_of_two(-64),
        -1021..=1024 => fraction * 2.0 * power_of_two(exponent - 1),
        1025.. => f64::INFINITY,
    }
}

/// 2^`exponent` for -1022 to 1023.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits((exponent.clamp(-1022, 1023) + 1023).cast_unsigned() << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of Prometheus's table.
    #[test]
    fn fractions_are_those_of_prometheus() {
        for (i, want) in [
            (0, 0.5),
            (1, 0.5013556375251013),
            (2, 0.5027149505564014),
            (64, 0.5946035575013605),
            (127, 0.7051948041086352),
            (128, 0.7071067811865475),
            (129, 0.7090239421602076),
            (192, 0.8408964152537144),
            (223, 0.9145245157024483),
            (254, 0.9945994234836328),
            (255, 0.9972960560854698),
        ] {
            assert_eq!(FRACTIONS[i], want, "{i}");
        }
    }

    #[test]
    fn bounds_at_every_magnitude() {
        for (index, schema, want) in [
            (0, 0, 1.0),
            (1, 0, 2.0),
            (-1, 0, 0.5),
            (4, 2, 2.0),
            (1, 1, std::f64::consts::SQRT_2.next_down()),
            (-1, 1, 0.7071067811865475),
            (1, -1, 4.0),
            (-1, -2, 0.0625),
            (1, -4, 65536.0),
            (1024, 0, f64::MAX),
            (1025, 0, f64::INFINITY),
            (64, -4, f64::MAX),
            (65, -4, f64::INFINITY),
            (262_144, 8, f64::MAX),
            (262_145, 8, f64::INFINITY),
            (-1022, 0, f64::MIN_POSITIVE),
            (-1074, 0, f64::from_bits(1)),
            (-1075, 0, 0.0),
            (-2000, 0, 0.0),
            (i32::MIN, 0, 0.0),
            (i32::MAX, -4, f64::INFINITY),
            (i32::MIN, -4, 0.0),
        ] {
            assert_eq!(exponential(index, schema), want, "index {index} schema {schema}");
        }
    }
}
