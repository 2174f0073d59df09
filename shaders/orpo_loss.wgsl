// The ORPO loss of each pair from its entries' log-probabilities, and the weight of each entry in the gradient.
//
//   lc, lr = mean log-probability of the chosen and the rejected answer
//   lo     = (lc - lr) - (log1mexp(lc) - log1mexp(lr))          log odds ratio
//   loss   = Σ nll_scale * (-lp) over NLL entries - or_scale * logsigmoid(lo)
//   kc     = or_scale σ(-lo) / (1 - exp(lc)),  kr = -or_scale σ(-lo) / (1 - exp(lr))
//   weight = nll_scale [NLL] + kc / Lc [chosen] + kr / Lr [rejected]
//
// so that d loss / d logits of an entry is weight (softmax - onehot). One workgroup a pair.
// nll_scale = 1 / (G N) with N the NLL tokens of the pair's micro-batch, or_scale = beta / (G B).
struct Entry {
  row: u32, target_id: u32, roles: u32, unused0: u32,
}

struct Pair {
  first_entry: u32, entry_count: u32, chosen_length: u32, rejected_length: u32,
  first_row: u32, row_count: u32, nll_scale: f32, or_scale: f32,
}

struct PairResult {
  nll_sum: f32, logp_chosen: f32, logp_rejected: f32, log_odds: f32,
  log_odds_ratio: f32, logits_chosen: f32, logits_rejected: f32, unused1: f32,
}

const NLL = 1u;
const CHOSEN = 2u;
const REJECTED = 4u;
// Where a row's logits count in the metrics logits/chosen and logits/rejected.
const IN_CHOSEN = 1u;
const IN_REJECTED = 2u;
// 1 - exp(l) must not vanish when an answer's probability reaches 1.
const LARGEST_LOGP = -1e-6;

@group(0) @binding(0) var<storage, read> entries: array<Entry>;
@group(0) @binding(1) var<storage, read> pairs: array<Pair>;
@group(0) @binding(2) var<storage, read> stats: array<vec4f>;
@group(0) @binding(3) var<storage, read> z: array<f32>;
@group(0) @binding(4) var<storage, read> row_logits: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> weights: array<f32>;
@group(0) @binding(6) var<storage, read_write> results: array<PairResult>;

//#include reduce
//#include log1p

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let pair = pairs[group.x];
  let end = pair.first_entry + pair.entry_count;
  var nll = 0.0;
  var chosen = 0.0;
  var rejected = 0.0;
  for (var e = pair.first_entry + thread; e < end; e += ROW_THREADS) {
    let entry = entries[e];
    let s = stats[entry.row];
    let lp = (z[e] - s.x) - log(s.y);
    nll -= select(0.0, lp, (entry.roles & NLL) != 0u);
    chosen += select(0.0, lp, (entry.roles & CHOSEN) != 0u);
    rejected += select(0.0, lp, (entry.roles & REJECTED) != 0u);
  }
  var mean_logits = vec2f();
  for (var r = pair.first_row + thread; r < pair.first_row + pair.row_count; r += ROW_THREADS) {
    let value = row_logits[r];
    let sides = u32(value.y);
    mean_logits += vec2f(select(0.0, value.x, (sides & IN_CHOSEN) != 0u), select(0.0, value.x, (sides & IN_REJECTED) != 0u));
  }
  nll = workgroup_sum(nll, thread);
  let logp_chosen = workgroup_sum(chosen, thread) / f32(pair.chosen_length);
  let logp_rejected = workgroup_sum(rejected, thread) / f32(pair.rejected_length);
  let logits_chosen = workgroup_sum(mean_logits.x, thread);
  let logits_rejected = workgroup_sum(mean_logits.y, thread);

  let lc = min(logp_chosen, LARGEST_LOGP);
  let lr = min(logp_rejected, LARGEST_LOGP);
  let log_odds = (lc - lr) - (log1mexp(lc) - log1mexp(lr));
  let pull = pair.or_scale * sigmoid(-log_odds);
  let chosen_weight = pull / -expm1(lc) / f32(pair.chosen_length);
  let rejected_weight = -pull / -expm1(lr) / f32(pair.rejected_length);
  for (var e = pair.first_entry + thread; e < end; e += ROW_THREADS) {
    let roles = entries[e].roles;
    weights[e] = select(0.0, pair.nll_scale, (roles & NLL) != 0u)
      + select(0.0, chosen_weight, (roles & CHOSEN) != 0u)
      + select(0.0, rejected_weight, (roles & REJECTED) != 0u);
  }
  if (thread == 0u) {
    results[group.x] = PairResult(
      nll, logp_chosen, logp_rejected, log_odds, logsigmoid(log_odds), logits_chosen, logits_rejected, 0.0);
  }
}
