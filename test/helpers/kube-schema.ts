/**
 * The part of Kubernetes' objects that deployments/minikube uses, with nothing else allowed, and
 * with what every pod here must have.
 * https://kubernetes.io/docs/reference/kubernetes-api/
 */
import { z } from 'zod';

const name = z
  .string()
  .max(63)
  .regex(/^[a-z]([a-z0-9-]*[a-z0-9])?$/);
const words = z.array(z.string().min(1)).min(1);
const port = z.int().min(1).max(65_535);
const seconds = z.int().min(1);
const quantity = z.string().regex(/^\d+(m|Mi|Gi)?$/);
const labels = z.strictObject({ app: name });
const selector = z.strictObject({ matchLabels: labels });
const metadata = z.strictObject({ name, namespace: z.literal('default') });

const exec = z.strictObject({ command: words });
const probe = z.strictObject({
  tcpSocket: z.strictObject({ port }).optional(),
  exec: exec.optional(),
  periodSeconds: seconds.optional(),
  timeoutSeconds: seconds.optional(),
  failureThreshold: seconds.optional(),
});

const securityContext = z.strictObject({
  allowPrivilegeEscalation: z.literal(false),
  readOnlyRootFilesystem: z.literal(true),
  capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
});

const mount = z.strictObject({
  name,
  mountPath: z.string().startsWith('/'),
  readOnly: z.boolean().optional(),
});

const container = z.strictObject({
  name,
  image: z.string(),
  imagePullPolicy: z.literal('Never').optional(),
  command: words.optional(),
  args: words.optional(),
  env: z.array(z.strictObject({ name: z.string(), value: z.string() })).optional(),
  ports: z.array(z.strictObject({ containerPort: port })).optional(),
  lifecycle: z.strictObject({ postStart: z.strictObject({ exec }) }).optional(),
  startupProbe: probe.optional(),
  livenessProbe: probe.optional(),
  readinessProbe: probe.optional(),
  resources: z
    .strictObject({
      requests: z.strictObject({ cpu: quantity, memory: quantity }),
      limits: z.strictObject({ memory: quantity }),
    })
    .optional(),
  securityContext,
  volumeMounts: z.array(mount),
});

const volume = z.strictObject({
  name,
  persistentVolumeClaim: z.strictObject({ claimName: name }).optional(),
  emptyDir: z.strictObject({ medium: z.literal('Memory').optional() }).optional(),
  configMap: z.strictObject({ name }).optional(),
  secret: z
    .strictObject({
      secretName: name,
      defaultMode: z.literal(0o440),
      items: z.array(z.strictObject({ key: z.string(), path: z.string() })).min(1),
    })
    .optional(),
});

const template = z.strictObject({
  metadata: z.strictObject({ labels }),
  spec: z.strictObject({
    automountServiceAccountToken: z.literal(false),
    enableServiceLinks: z.literal(false),
    securityContext: z.strictObject({
      runAsNonRoot: z.literal(true),
      runAsUser: z.int().min(1),
      runAsGroup: z.int().min(1),
      fsGroup: z.int().min(1),
      fsGroupChangePolicy: z.literal('OnRootMismatch').optional(),
      seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
    }),
    initContainers: z.array(container).optional(),
    containers: z.tuple([container]),
    volumes: z.array(volume),
  }),
});

const claim = z.strictObject({
  accessModes: z.tuple([z.literal('ReadWriteOnce')]),
  resources: z.strictObject({ requests: z.strictObject({ storage: quantity }) }),
});

const peers = z.array(z.strictObject({ podSelector: selector }));
const policyPorts = z.array(
  z.strictObject({ port, protocol: z.enum(['TCP', 'UDP']).default('TCP') }),
);

export const kubeSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    apiVersion: z.literal('apps/v1'),
    kind: z.literal('Deployment'),
    metadata,
    spec: z.strictObject({
      replicas: z.int(),
      strategy: z.strictObject({ type: z.literal('Recreate') }).optional(),
      selector,
      template,
    }),
  }),
  z.strictObject({
    apiVersion: z.literal('apps/v1'),
    kind: z.literal('StatefulSet'),
    metadata,
    spec: z.strictObject({
      replicas: z.int(),
      serviceName: name,
      selector,
      template,
      volumeClaimTemplates: z.array(
        z.strictObject({ metadata: z.strictObject({ name }), spec: claim }),
      ),
    }),
  }),
  z.strictObject({
    apiVersion: z.literal('v1'),
    kind: z.literal('Service'),
    metadata,
    spec: z.strictObject({
      clusterIP: z.literal('None').optional(),
      publishNotReadyAddresses: z.boolean().optional(),
      selector: labels,
      ports: z.tuple([z.strictObject({ port, targetPort: port })]),
    }),
  }),
  z.strictObject({
    apiVersion: z.literal('v1'),
    kind: z.literal('PersistentVolumeClaim'),
    metadata,
    spec: claim,
  }),
  z.strictObject({
    apiVersion: z.literal('networking.k8s.io/v1'),
    kind: z.literal('NetworkPolicy'),
    metadata,
    spec: z.strictObject({
      podSelector: selector,
      policyTypes: z.tuple([z.literal('Ingress'), z.literal('Egress')]),
      ingress: z.array(z.strictObject({ from: peers.optional(), ports: policyPorts })),
      egress: z.array(z.strictObject({ to: peers.optional(), ports: policyPorts })),
    }),
  }),
]);

export type KubeObject = z.output<typeof kubeSchema>;
export type KubePod = z.output<typeof template>['spec'];
export type KubeContainer = z.output<typeof container>;
