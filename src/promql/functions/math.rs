//! Functions of one float, with the special cases of Go's `math` package.

fn at(params: &[f64], index: usize, default: f64) -> f64 {
    params.get(index).copied().unwrap_or(default)
}

/// The larger one, as Go's `math.Max`: +Inf wins over NaN, NaN over all else, +0 over -0.
#[must_use]
pub fn max_of(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// The smaller one, as Go's `math.Min`: -Inf wins over NaN, NaN over all else, -0 over +0.
#[must_use]
pub fn min_of(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { a } else { b }
    } else if a < b {
        a
    } else {
        b
    }
}

macro_rules! plain {
    ($($name:ident $method:ident)*) => { $(pub(super) fn $name(v: f64, _: &[f64]) -> f64 { v.$method() })* };
}

plain! {
    abs abs  ceil ceil  floor floor  exp exp  sqrt sqrt  ln ln
    sin sin  cos cos  tan tan  asin asin  acos acos  atan atan
    sinh sinh  cosh cosh  tanh tanh  asinh asinh  acosh acosh  atanh atanh
}

/// Exact for powers of two; else the logarithm of the mantissa plus the exponent, as Go does it.
pub(super) fn log2(v: f64, _: &[f64]) -> f64 {
    go_log2(v)
}

/// Go takes the detour over base 2, which may show in the last bit.
pub(super) fn log10(v: f64, _: &[f64]) -> f64 {
    go_log2(v) * std::f64::consts::LOG10_2
}

fn go_log2(v: f64) -> f64 {
    if !(v > 0.0 && v.is_finite()) {
        return v.log2();
    }
    let (mantissa, exponent) = frexp(v);
    if mantissa == 0.5 {
        return f64::from(exponent - 1);
    }
    mantissa.ln() * std::f64::consts::LOG2_E + f64::from(exponent)
}

/// Mantissa in [0.5, 1) and exponent of a finite positive float.
fn frexp(v: f64) -> (f64, i32) {
    const SUBNORMAL_SHIFT: i32 = 54;
    let (v, shift) = if v < f64::MIN_POSITIVE {
        (v * 18_014_398_509_481_984.0, SUBNORMAL_SHIFT)
    } else {
        (v, 0)
    };
    let bits = v.to_bits();
    let biased = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    (f64::from_bits((bits & !(0x7ff << 52)) | (1022 << 52)), biased - 1022 - shift)
}

pub(super) fn sgn(v: f64, _: &[f64]) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

pub(super) fn rad(v: f64, _: &[f64]) -> f64 {
    v * std::f64::consts::PI / 180.0
}

pub(super) fn deg(v: f64, _: &[f64]) -> f64 {
    v * 180.0 / std::f64::consts::PI
}

pub(super) fn clamp(v: f64, params: &[f64]) -> f64 {
    max_of(at(params, 0, f64::NEG_INFINITY), min_of(at(params, 1, f64::INFINITY), v))
}

pub(super) fn clamp_max(v: f64, params: &[f64]) -> f64 {
    max_of(f64::NEG_INFINITY, min_of(at(params, 0, f64::INFINITY), v))
}

pub(super) fn clamp_min(v: f64, params: &[f64]) -> f64 {
    max_of(at(params, 0, f64::NEG_INFINITY), min_of(f64::INFINITY, v))
}

/// To the nearest multiple of the argument, ties upwards; multiplying by the inverse loses fewer bits.
pub(super) fn round(v: f64, params: &[f64]) -> f64 {
    let inverse = 1.0 / at(params, 0, 1.0);
    (v * inverse + 0.5).floor() / inverse
}
