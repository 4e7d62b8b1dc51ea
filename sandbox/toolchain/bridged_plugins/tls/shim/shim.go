// Package shim hands out the provider, which its own module keeps to itself.
package shim

import (
	"github.com/hashicorp/terraform-plugin-framework/provider"
	tls "github.com/hashicorp/terraform-provider-tls/internal/provider"
)

func New() provider.Provider {
	return tls.New()
}
