output "app_name" {
  description = "What the application is called"
  value       = juju_application.golden_ratio.name
}

output "provides" {
  description = "The endpoints that other applications can require"
  value = {
    cos_agent = "cos-agent"
  }
}

output "requires" {
  description = "The endpoints that require other applications"
  value = {
    juju_info       = "juju-info"
    charm_tracing   = "charm-tracing"
    receive_ca_cert = "receive-ca-cert"
  }
}
