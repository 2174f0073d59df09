// log(1 + x) and exp(x) - 1 without cancellation, from series that survive reassociation by the compiler.

// log1p for x > -1: 2 atanh(x / (2 + x)), by its series where that converges fast.
fn log1p(x: f32) -> f32 {
  if (abs(x) > 0.4) { return log(1.0 + x); }
  let z = x / (2.0 + x);
  let z2 = z * z;
  return 2.0 * z * (1.0 + z2 * (1.0 / 3.0 + z2 * (0.2 + z2 * (1.0 / 7.0 + z2 * (1.0 / 9.0 + z2 / 11.0)))));
}

// expm1 for x <= 0: Taylor's series near zero.
fn expm1(x: f32) -> f32 {
  if (x < -0.5) { return exp(x) - 1.0; }
  var term = 1.0;
  var sum = 1.0;
  for (var i = 2; i < 12; i++) {
    term *= x / f32(i);
    sum += term;
  }
  return x * sum;
}

// log(1 - exp(x)) for x < 0 (Maechler's split at -ln 2, as in TRL).
fn log1mexp(x: f32) -> f32 {
  if (x < -0.6931471805599453) { return log1p(-exp(x)); }
  return log(-expm1(x));
}

fn sigmoid(x: f32) -> f32 {
  if (x >= 0.0) { return 1.0 / (1.0 + exp(-x)); }
  let e = exp(x);
  return e / (1.0 + e);
}

fn logsigmoid(x: f32) -> f32 {
  return min(x, 0.0) - log1p(exp(-abs(x)));
}
