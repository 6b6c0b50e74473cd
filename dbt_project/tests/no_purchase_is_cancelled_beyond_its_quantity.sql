select
    customer_id,
    product_id,
    purchased_on,
    sum(quantity) as kept_quantity
from {{ ref('fct_interactions') }}
group by
    customer_id,
    product_id,
    purchased_on
having sum(quantity) < 0
