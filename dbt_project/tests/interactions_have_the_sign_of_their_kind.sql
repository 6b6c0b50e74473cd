select *
from {{ ref('fct_interactions') }}
where
    (kind = 'purchase' and (quantity <= 0 or amount < 0 or day <> purchased_on))
    or (kind = 'cancellation' and (quantity >= 0 or amount > 0 or day < purchased_on))
