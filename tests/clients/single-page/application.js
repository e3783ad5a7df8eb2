// An application of somebody else: a script in the browser, with oidc-client-ts and nothing of ours.
const manager = new oidc.UserManager({
  ...settings,
  redirect_uri: `${location.origin}/signed-in`,
  scope: "openid profile email offline_access",
});

async function arrive() {
  if (location.pathname !== "/signed-in") {
    return manager.signinRedirect();
  }
  const user = await manager.signinRedirectCallback();
  const renewed = await manager.signinSilent();
  return { claims: user.profile, renewed: renewed.access_token !== user.access_token };
}

arrive().then(
  (told) => { if (told) document.getElementById("told").textContent = JSON.stringify(told); },
  (error) => {
    document.getElementById("told").textContent =
      JSON.stringify({ error: error.error ?? String(error) });
  },
);
