  // The first piece of the first step on its way.
  var a_next: array<vec4f, A_FETCHES>;
  var b_next: array<vec4f, B_FETCHES>;
  var walked_next: array<vec4f, WALKED_FETCHES>;
  {
    const fetch_h = 0u;
    const fetch_c = 0u;
    //#include attention_fetch
  }
