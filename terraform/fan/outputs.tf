output "app_name" {
  description = "What the application is called"
  value       = juju_application.fan.name
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
    charm_tracing   = "charm-tracing"
    juju_info       = "juju-info"
    receive_ca_cert = "receive-ca-cert"
  }
}
